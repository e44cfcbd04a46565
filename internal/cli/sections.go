package cli

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/schema/registry"
)

// TLS is the section kafka.tls.
type TLS struct {
	Enabled    bool   `yaml:"enabled" default:"false" doc:"TLS with the system's certificates; the other keys turn it on too."`
	CAFile     string `yaml:"ca_file" default:"" doc:"Certificates in PEM form that the brokers' are signed by; the system's if empty."`
	CertFile   string `yaml:"cert_file" default:"" doc:"The client's certificate in PEM form, for mutual TLS."`
	KeyFile    string `yaml:"key_file" default:"" doc:"The key of cert_file."`
	ServerName string `yaml:"server_name" default:"" doc:"Name to expect in the brokers' certificates instead of their addresses."`
}

// SASL is the section kafka.sasl, which each program describes in its own words.
type SASL struct {
	Mechanism, Username, PasswordFile string
}

// Kafka is what every section kafka has.
type Kafka struct {
	Brokers []string
	TLS     TLS
	SASL    SASL
}

// Validate checks addresses, and that what belongs together is there.
func (k Kafka) Validate(report config.Report) {
	if len(k.Brokers) == 0 {
		report("brokers", "want at least one host:port")
	}
	for i, broker := range k.Brokers {
		if host, port, err := net.SplitHostPort(broker); err != nil || host == "" || port == "" {
			report("brokers["+strconv.Itoa(i)+"]", "want host:port, such as 127.0.0.1:9092")
		}
	}
	if (k.TLS.CertFile == "") != (k.TLS.KeyFile == "") {
		report("tls", "want cert_file and key_file together")
	}
	if k.SASL.Mechanism == "" && (k.SASL.Username != "" || k.SASL.PasswordFile != "") {
		report("sasl.mechanism", "is missing beside username and password_file; want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
	}
	if k.SASL.Mechanism != "" && (k.SASL.Username == "" || k.SASL.PasswordFile == "") {
		report("sasl", "want username and password_file with a mechanism")
	}
}

// Connection is how a client of this name reaches the cluster.
func (k Kafka) Connection(clientID string) (kafka.Config, error) {
	c := kafka.Config{Brokers: k.Brokers, ClientID: clientID}
	if k.TLS != (TLS{}) {
		c.TLS = &kafka.TLS{CAFile: k.TLS.CAFile, CertFile: k.TLS.CertFile, KeyFile: k.TLS.KeyFile, ServerName: k.TLS.ServerName}
	}
	if k.SASL.Mechanism != "" {
		password, err := Secret("kafka.sasl.password_file", k.SASL.PasswordFile)
		if err != nil {
			return c, err
		}
		c.SASL = &kafka.SASL{Mechanism: k.SASL.Mechanism, Username: k.SASL.Username, Password: password}
	}
	return c, nil
}

// Secret is what the file holds that key names.
func Secret(key, file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Registry is what every section registry has.
type Registry struct {
	URL          string `yaml:"url" required:"true" example:"http://127.0.0.1:8081" doc:"URL of the registry; a comma-separated list fails over."`
	Username     string `yaml:"username" default:"" doc:"User of HTTP basic authentication."`
	PasswordFile string `yaml:"password_file" default:"" doc:"File that holds the password; read at each request."`
}

// Validate checks each URL of the list.
func (r Registry) Validate(report config.Report) {
	if _, err := registry.ParseURLs(r.URL); err != nil {
		report("url", "%s", err)
	}
	if r.Username == "" && r.PasswordFile != "" {
		report("username", "is missing beside password_file")
	}
}

// Client asks the registry. observe may be nil.
func (r Registry) Client(observe func(string, int, time.Duration)) (*registry.Client, error) {
	urls, err := registry.ParseURLs(r.URL)
	if err != nil {
		return nil, err
	}
	return registry.New(registry.Config{URLs: urls, Username: r.Username, PasswordFile: r.PasswordFile, Observe: observe}), nil
}

// ValidateListen checks the key listen of the section ops.
func ValidateListen(report config.Report, listen, example string) {
	if listen == "" {
		return
	}
	if _, port, err := net.SplitHostPort(listen); err != nil || port == "" {
		report("listen", "want host:port, such as %s, or nothing", example)
	}
}

// Missing collects what a configuration asks for and this version does not do
// yet.
type Missing []error

// Need adds the key, if it is set to such a value.
func (m *Missing) Need(set bool, key string, value any) {
	if set {
		*m = append(*m, fmt.Errorf("%s: %v is not in this version; leave the key out", key, value))
	}
}
