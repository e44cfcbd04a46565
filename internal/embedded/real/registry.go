package real

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// Where a registry has the API of Confluent's, and its own in the version that
// Apicurio's Avro classes speak.
const (
	confluentPath = "/apis/ccompat/v7"
	nativePath    = "/apis/registry/v2"
)

// NativeURL is the address of a Registry's own API, from its URL.
func NativeURL(url string) string { return strings.TrimSuffix(url, confluentPath) + nativePath }

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
	url := fmt.Sprintf("http://127.0.0.1:%d%s", port, confluentPath)
	r := &Registry{url: url, server: &server{
		name: "the Apicurio registry " + RegistryVersion,
		command: []string{p.registryJava, "-Xmx512m",
			fmt.Sprintf("-Dquarkus.http.port=%d", port), "-Dquarkus.http.host=127.0.0.1",
			fmt.Sprintf("-Dquarkus.management.port=%d", management), "-Dquarkus.management.host=127.0.0.1",
			"-jar", filepath.Join(p.folder(registryPart), "quarkus-run.jar")},
		dir:     dir,
		log:     filepath.Join(dir, "registry.log"),
		answers: func(ctx context.Context) error { return setLevel(ctx, url+"/config", "BACKWARD") },
	}}
	return r, r.start(ctx)
}

func setLevel(ctx context.Context, url, level string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, strings.NewReader(fmt.Sprintf(`{"compatibility":%q}`, level)))
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

// AcceptAll takes back the demand of BACKWARD: every schema is accepted, as with
// Apicurio's own default.
func (r *Registry) AcceptAll(ctx context.Context) error {
	return setLevel(ctx, r.url+"/config", "NONE")
}

// Close is Kill.
func (r *Registry) Close() error {
	r.Kill()
	return nil
}

// Restart starts the registry again after Kill, empty.
func (r *Registry) Restart(ctx context.Context) error { return r.start(ctx) }
