package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tailrace/tailrace/test/program"
)

// relayConfig makes relay.yaml of a connector's configuration by relay import, and
// puts in what belongs to this side. Each change is a text and what replaces it.
func (s *session) relayConfig(config map[string]string, listen string, changes ...[2]string) string {
	s.t.Helper()
	text, err := json.Marshal(map[string]any{"name": s.name, "config": config})
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.w.dir, s.name+".json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd := s.w.relay.Command(s.t.Context(), "import", file)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("relay import: %v\n%s", err, log.String())
	}
	yaml := out.String()
	for _, change := range append(changes, [2]string{"\nkafka:\n", "\nkafka:\n  single_broker: true\n"}) {
		if strings.Count(yaml, change[0]) != 1 {
			s.t.Fatalf("relay import wrote %q not once:\n%s", change[0], yaml)
		}
		yaml = strings.Replace(yaml, change[0], change[1], 1)
	}
	// The relay's heartbeats are messages in the WAL, which Debezium would publish.
	yaml += fmt.Sprintf("\nheartbeat:\n  interval: 0s\nops:\n  listen: %s\n", listen)
	yamlFile := filepath.Join(s.w.dir, s.name+".yaml")
	if err := os.WriteFile(yamlFile, []byte(yaml), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return yamlFile
}

// startRelay returns when the relay streams. It is stopped with the test.
func (s *session) startRelay() {
	s.t.Helper()
	listen, config := program.FreeAddress(s.t), s.connector()
	config["slot.name"] += "_relay"
	file := s.relayConfig(config, listen, [2]string{"adopt: true", "adopt: false"}, [2]string{s.w.schemas.URL(), s.w.relayRegistry.URL()})
	s.runRelay = func() *program.Process { return s.runOn(s.w.relayBroker.Addr(), file, listen) }
	s.relay = s.runRelay()
}

// runOn runs the relay on a broker.
func (s *session) runOn(kafka, config, listen string) *program.Process {
	s.t.Helper()
	return s.w.relay.Run(s.t, config, listen, filepath.Join(s.w.dir, s.name+".log"),
		"DATABASE_PASSWORD="+s.conn.Config().Password, "KAFKA_BROKERS="+kafka)
}

func (s *session) restartRelay() {
	s.t.Helper()
	s.relay.Stop(s.t)
	s.relay = s.runRelay()
}
