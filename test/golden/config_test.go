package golden

import (
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/tailrace/tailrace/internal/debezium"
)

// connector is the configuration that the case's connector had: what all cases
// share, with the case's own options over it.
func connector(t *testing.T, c *capture, database string, more map[string]string) map[string]string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	conf := map[string]string{
		"name":              c.Name,
		"connector.class":   "io.debezium.connector.postgresql.PostgresConnector",
		"plugin.name":       "pgoutput",
		"database.hostname": u.Hostname(),
		"database.port":     u.Port(),
		"database.user":     u.User.Username(),
		"database.password": password,
		"database.dbname":   c.Name,
		"topic.prefix":      c.Prefix,
		"slot.name":         c.Name,
		"key.converter":     "io.apicurio.registry.utils.converter.AvroConverter",
		"value.converter":   "io.apicurio.registry.utils.converter.AvroConverter",
	}
	for _, side := range []string{"key", "value"} {
		conf[side+".converter.apicurio.registry.auto-register"] = "true"
		conf[side+".converter.apicurio.registry.as-confluent"] = "true"
	}
	maps.Copy(conf, c.Properties)
	maps.Copy(conf, more)
	return conf
}

// relayConfig writes the relay.yaml that `relay import` makes of the connector's
// configuration, with what a connector does not know: where Kafka and the
// registry are, that there is one broker and one partition, and the address of
// the relay's page.
func (s *services) relayConfig(t *testing.T, connector map[string]string, database, listen string) string {
	t.Helper()
	result, err := debezium.Import(connector)
	if err != nil {
		t.Fatal(err)
	}
	var conf map[string]any
	if err := yaml.Unmarshal(result.YAML, &conf); err != nil {
		t.Fatalf("relay.yaml: %v\n%s", err, result.YAML)
	}
	for _, m := range result.Missing {
		t.Errorf("relay import has nothing for %s=%s: %s", m.Option, m.Value, m.Reason)
	}
	for key, value := range map[string]any{
		"postgres.url":            database,
		"postgres.slot.adopt":     false, // no connector has run here
		"kafka.brokers":           []string{s.broker.Addr()},
		"kafka.single_broker":     true,
		"kafka.topics.partitions": 1,
		"registry.url":            s.registry.URL(),
		"ops.listen":              listen,
	} {
		set(conf, strings.Split(key, "."), value)
	}
	text, err := yaml.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "relay.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("relay.yaml:\n%s", text)
		}
	})
	return file
}

// set puts a value at a path of nested maps.
func set(m map[string]any, path []string, value any) {
	if len(path) == 1 {
		m[path[0]] = value
		return
	}
	inner, ok := m[path[0]].(map[string]any)
	if !ok {
		inner = map[string]any{}
		m[path[0]] = inner
	}
	set(inner, path[1:], value)
}
