package real

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// The classes of the connectors that Install… fetches.
const (
	DebeziumConnector = "io.debezium.connector.postgresql.PostgresConnector"
	JDBCSinkConnector = "io.debezium.connector.jdbc.JdbcSinkConnector"
)

// Connect is one standalone worker of Kafka Connect, without a connector at
// first. Its methods are safe for concurrent use.
type Connect struct {
	*server
	url string
}

// connectProperties leaves all at Connect's defaults but where it keeps offsets
// and how soon it does; a connector brings its own converters.
const connectProperties = `bootstrap.servers=%[1]s
listeners=http://127.0.0.1:%[2]d
plugin.path=%[3]s
plugin.discovery=service_load
offset.storage.file.filename=%[4]s
offset.flush.interval.ms=1000
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
connector.client.config.override.policy=All
`

// StartConnect starts a worker for the broker at kafka, with the plugins that are
// installed, and returns when it answers. Its time zone is UTC, because Debezium
// writes ranges of timestamptz in the zone of its worker. java are options of the
// Java virtual machine; without any it is one that starts quickly and stays small,
// which is slower than Connect's own.
func (p Parts) StartConnect(ctx context.Context, dir, kafka string, java ...string) (*Connect, error) {
	if err := p.want(connectPart, debeziumPart, converterPart); err != nil {
		return nil, err
	}
	plugins := []string{p.folder(debeziumPart), p.folder(converterPart)}
	if exists(p.folder(jdbcPart)) {
		plugins = append(plugins, p.folder(jdbcPart))
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	properties := filepath.Join(dir, "connect.properties")
	text := fmt.Sprintf(connectProperties, kafka, port, strings.Join(plugins, ","), filepath.Join(dir, "offsets"))
	if err := os.WriteFile(properties, []byte(text), 0o644); err != nil {
		return nil, err
	}
	if len(java) == 0 {
		java = []string{"-Xmx1500m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	}
	command := append([]string{p.kafkaJava}, java...)
	c := &Connect{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	c.server = &server{
		name: "Kafka Connect " + KafkaVersion,
		command: append(command, "-Dlog4j2.level=INFO", "-Duser.timezone=UTC", "-Dfile.encoding=UTF-8",
			"-cp", filepath.Join(p.folder(connectPart), "*"), "org.apache.kafka.connect.cli.ConnectStandalone", properties),
		dir: dir,
		log: filepath.Join(dir, "connect.log"),
		answers: func(ctx context.Context) error {
			return c.do(ctx, http.MethodGet, "/connectors", nil, nil)
		},
	}
	return c, c.start(ctx)
}

// AvroConverter is how a connector writes or reads keys and values: by Apicurio's
// converter, in the bytes that Confluent's clients read. registry is the URL of a
// Registry.
func AvroConverter(registry string) map[string]string {
	config := map[string]string{}
	for _, part := range []string{"key.converter", "value.converter"} {
		config[part] = avroConverter
		for k, v := range map[string]string{
			"url": NativeURL(registry), "auto-register": "true", "find-latest": "true", "as-confluent": "true",
			"headers.enabled": "false", "use-id": "contentId",
		} {
			config[part+".apicurio.registry."+k] = v
		}
	}
	return config
}

// Create starts a connector, and returns when Connect has accepted it; Failure
// tells later whether it runs.
func (c *Connect) Create(ctx context.Context, name string, config map[string]string) error {
	body := map[string]any{"name": name, "config": config}
	return c.do(ctx, http.MethodPost, "/connectors", body, nil)
}

// Delete stops a connector.
func (c *Connect) Delete(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/connectors/"+url.PathEscape(name), nil, nil)
}

// Running tells whether the only task of a connector runs. A failed one is an
// error with the task's stack trace.
func (c *Connect) Running(ctx context.Context, name string) (bool, error) {
	var status struct {
		Connector worker   `json:"connector"`
		Tasks     []worker `json:"tasks"`
	}
	if err := c.do(ctx, http.MethodGet, "/connectors/"+url.PathEscape(name)+"/status", nil, &status); err != nil {
		return false, err
	}
	for _, w := range append(status.Tasks, status.Connector) {
		if w.State == "FAILED" {
			return false, fmt.Errorf("connector %s failed: %s", name, end(causes(w.Trace)))
		}
	}
	return len(status.Tasks) == 1 && status.Tasks[0].State == "RUNNING", nil
}

type worker struct {
	State string `json:"state"`
	Trace string `json:"trace"`
}

// causes leaves the lines of a stack trace that say what was wrong.
func causes(trace string) string {
	var b strings.Builder
	for line := range strings.Lines(trace) {
		if !strings.HasPrefix(line, "\tat ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func (c *Connect) do(ctx context.Context, method, path string, body, reply any) error {
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, payload)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, end(string(text)))
	}
	if reply == nil {
		return nil
	}
	return json.Unmarshal(text, reply)
}

// Close is Kill: what a worker has to remember stands in Kafka and in a file.
func (c *Connect) Close() { c.Kill() }
