package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// compose is what the test looks at in docker-compose.yml.
type compose struct {
	Services map[string]struct {
		Image       string
		Build       struct{ Context, Dockerfile string }
		Entrypoint  []string
		Command     []string
		Environment map[string]string
		Ports       []string
		Volumes     []string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	}
	Volumes map[string]any
}

func readCompose(t *testing.T) (root string, c compose) {
	t.Helper()
	root = filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return root, c
}

func TestComposeHasTheWholeStack(t *testing.T) {
	t.Parallel()
	root, c := readCompose(t)
	for _, name := range []string{"postgres", "kafka", "registry", "relay", "processor"} {
		s, ok := c.Services[name]
		if !ok || s.Image == "" {
			t.Fatalf("no service %s", name)
		}
		for dependency := range s.DependsOn {
			if _, ok := c.Services[dependency]; !ok {
				t.Errorf("%s depends on %s, which is no service", name, dependency)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if !strings.HasPrefix(source, "./") {
				if _, ok := c.Volumes[source]; !ok {
					t.Errorf("%s: volume %s is not declared", name, source)
				}
				continue
			}
			if _, err := os.Stat(filepath.Join(root, source)); err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to the network", name, p)
			}
		}
	}
	if !slices.Contains(c.Services["postgres"].Command, "wal_level=logical") {
		t.Error("PostgreSQL runs without wal_level=logical")
	}
}

func TestComposeMountsConfigurationsThatAreValid(t *testing.T) {
	t.Parallel()
	root, c := readCompose(t)
	for _, name := range []string{"relay", "processor"} {
		s := c.Services[name]
		if s.Build.Dockerfile != "deploy/Dockerfile" || len(s.Entrypoint) != 1 || filepath.Base(s.Entrypoint[0]) != name {
			t.Errorf("%s: build %v, entrypoint %v", name, s.Build, s.Entrypoint)
		}
		file := ""
		for _, v := range s.Volumes {
			if parts := strings.Split(v, ":"); len(parts) > 1 && parts[1] == "/etc/tailrace/"+name+".yaml" {
				file = parts[0]
			}
		}
		if file == "" {
			t.Fatalf("%s mounts no /etc/tailrace/%s.yaml, where the program looks", name, name)
		}
		path, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		r := command(t, nil, name, "config", "show", "-c", path)
		if r.code != 0 {
			t.Fatalf("%s config show: exit %d\n%s", name, r.code, r.err)
		}
		// What the configuration names is a service, on a port that it has.
		for _, address := range []string{"@postgres:5432/", "kafka:9092", "http://registry:8080/"} {
			if !strings.Contains(r.out, address) {
				t.Errorf("%s: no %s in\n%s", name, address, r.out)
			}
		}
		if !strings.Contains(c.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], "//kafka:9092") {
			t.Error("Kafka does not advertise kafka:9092")
		}
	}
}

func TestImageIsStaticAndNotRoot(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CGO_ENABLED=0", "USER 65532:65532", "WORKDIR /etc/tailrace", " AS build\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in deploy/Dockerfile", want)
		}
	}
}
