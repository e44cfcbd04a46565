package oracle

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/internal/embedded/broker"
	"github.com/tailrace/tailrace/internal/embedded/real"
	"github.com/tailrace/tailrace/internal/embedded/registry"
	"github.com/tailrace/tailrace/test/program"
)

// world is what all seeds share: Debezium in a Connect with Kafka and a registry,
// and the broker and registry that the relay writes to.
type world struct {
	dir     string
	kafka   *real.Kafka
	schemas *real.Registry
	connect *real.Connect

	relay         program.Relay
	relayBroker   *broker.Broker
	relayRegistry *registry.Server
}

func newWorld(t *testing.T, parts real.Parts) *world {
	t.Helper()
	ctx := t.Context()
	dir, err := os.MkdirTemp("", "tailrace-oracle-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: dir}
	if w.relay, err = program.Build(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the logs of Kafka, of the registry and of Connect are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	logf := func(format string, args ...any) { t.Logf(format, args...) }
	if err := parts.InstallConnect(ctx, logf); err != nil {
		t.Fatal(err)
	}
	if w.kafka, err = parts.StartKafka(ctx, filepath.Join(w.dir, "kafka")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.kafka.Kill)
	if w.schemas, err = parts.StartRegistry(ctx, filepath.Join(w.dir, "registry")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.schemas.Kill)
	if err := w.schemas.AcceptAll(ctx); err != nil {
		t.Fatal(err)
	}
	if w.connect, err = parts.StartConnect(ctx, filepath.Join(w.dir, "connect"), w.kafka.Addr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.connect.Kill)
	t.Logf("Kafka pid %d, registry pid %d, Connect pid %d", w.kafka.Pid(), w.schemas.Pid(), w.connect.Pid())
	if w.relayBroker, err = broker.Start(broker.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.relayBroker.Close)
	if w.relayRegistry, err = registry.Start(registry.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.relayRegistry.Close(); err != nil {
			t.Error(err)
		}
	})
	acceptAll(t, w.relayRegistry.URL())
	return w
}

// acceptAll makes a registry accept every schema, as Debezium's does here.
func acceptAll(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/config", strings.NewReader(`{"compatibility":"NONE"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", req.URL, resp.Status)
	}
}
