package real

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// Registry is one Apicurio registry that keeps everything in memory. Its methods
// are safe for concurrent use.
type Registry struct {
	*server
	url string
}

// StartRegistry starts an empty registry, with its log in dir, and returns when it
// answers. It demands BACKWARD of every subject, as Confluent's does by default;
// Apicurio's own default is to accept any schema.
func (p Parts) StartRegistry(ctx context.Context, dir string) (*Registry, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	management, err := freePort() // fixed by default, and there may be two registries
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/apis/ccompat/v7", port)
	r := &Registry{url: url, server: &server{
		name: "the Apicurio registry " + RegistryVersion,
		command: []string{p.registryJava, "-Xmx512m",
			fmt.Sprintf("-Dquarkus.http.port=%d", port), "-Dquarkus.http.host=127.0.0.1",
			fmt.Sprintf("-Dquarkus.management.port=%d", management), "-Dquarkus.management.host=127.0.0.1",
			"-jar", filepath.Join(p.registry(), "quarkus-run.jar")},
		dir:     dir,
		log:     filepath.Join(dir, "registry.log"),
		answers: func(ctx context.Context) error { return demandBackward(ctx, url+"/config") },
	}}
	return r, r.start(ctx)
}

func demandBackward(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, strings.NewReader(`{"compatibility":"BACKWARD"}`))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// URL is the address of its Confluent-compatible part, for clients.
func (r *Registry) URL() string { return r.url }

// Close is Kill.
func (r *Registry) Close() error {
	r.Kill()
	return nil
}

// Restart starts the registry again after Kill, empty.
func (r *Registry) Restart(ctx context.Context) error { return r.start(ctx) }
