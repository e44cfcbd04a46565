package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// stack is the services with relay and processor on top.
type stack struct {
	*services
	dir       string // with configurations and logs
	name      string // of the relay
	group     string // name of the processor
	relay     *program
	processor *program
	relayOps  string // host:port
	procOps   string
	stderr    io.Writer
}

// startStack starts the services and writes the configurations; relay and
// processor are ready to be started. data gets the services' files.
func startStack(ctx context.Context, o options, dir, data string, opsPorts [2]int, stderr io.Writer) (*stack, error) {
	for _, name := range []string{"relay", "processor"} {
		if _, err := os.Stat(filepath.Join(o.bin, name)); err != nil {
			return nil, fmt.Errorf("%w; make build makes it, --bin names its folder", err)
		}
	}
	for i, port := range opsPorts {
		if port == 0 {
			var err error
			if opsPorts[i], err = freePort(); err != nil {
				return nil, err
			}
		}
	}
	s, err := startServices(ctx, o, data, stderr)
	if err != nil {
		return nil, err
	}
	st := &stack{
		services: s,
		dir:      dir,
		name:     "shop",
		group:    "warehouse",
		relayOps: fmt.Sprintf("127.0.0.1:%d", opsPorts[0]),
		procOps:  fmt.Sprintf("127.0.0.1:%d", opsPorts[1]),
		stderr:   stderr,
	}
	if o.kafka != "" || o.registry != "" { // where an earlier demo has left its topics
		suffix := fmt.Sprintf("_%08x", rand.Uint32())
		st.name, st.group = st.name+suffix, st.group+suffix
	}
	if err := st.configure(o.bin); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return st, nil
}

const relayYAML = `# Written by the demo; gone when it ends.
name: {{.Name}}
postgres:
  url: {{.Source}}
kafka:
  brokers: [{{.Kafka}}]
  single_broker: true
  topics: {partitions: 6}
registry:
  url: {{.Registry}}
tables:
  include: ["public.*"]
ops: {listen: {{.RelayOps}}}
`

const processorYAML = `# Written by the demo; gone when it ends.
name: {{.Group}}
kafka:
  brokers: [{{.Kafka}}]
registry:
  url: {{.Registry}}
source:
  topics_pattern: '^{{.Name}}\.public\..*'
sink:
  postgres:
    url: {{.Sink}}
    table: "{schema}.{table}"
    schema: add
# A fixed member of its group: after a crash it takes its partitions again at once.
group: {instance_id: demo, session_timeout: 10s}
ops: {listen: {{.ProcOps}}}
`

// configure writes relay.yaml and processor.yaml.
func (s *stack) configure(bin string) error {
	values := map[string]string{
		"Source": s.source(), "Sink": s.sink(), "Kafka": s.kafka, "Registry": s.registryURL,
		"RelayOps": s.relayOps, "ProcOps": s.procOps, "Name": s.name, "Group": s.group,
	}
	for name, text := range map[string]string{"relay.yaml": relayYAML, "processor.yaml": processorYAML} {
		var b strings.Builder
		if err := template.Must(template.New(name).Parse(text)).Execute(&b, values); err != nil {
			return err
		}
		if err := os.WriteFile(s.path(name), []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	s.relay = newProgram(bin, "relay", s.path("relay.yaml"), s.path("relay.log"))
	s.processor = newProgram(bin, "processor", s.path("processor.yaml"), s.path("processor.log"))
	return nil
}

func (s *stack) path(name string) string { return filepath.Join(s.dir, name) }

// files are what configure and the programs write.
func (s *stack) files() []string {
	return []string{s.path("relay.yaml"), s.path("processor.yaml"), s.path("relay.log"), s.path("processor.log")}
}

func (s *stack) startPrograms() error {
	if err := s.relay.start(); err != nil {
		return err
	}
	return s.processor.start()
}

// stopPrograms stops both at the same time.
func (s *stack) stopPrograms() error {
	relay := make(chan error, 1)
	go func() { relay <- s.relay.stop() }()
	err := s.processor.stop()
	return errors.Join(<-relay, err)
}

// down ends everything, without asking twice.
func (s *stack) down() error {
	if s.relay != nil {
		s.relay.kill()
	}
	if s.processor != nil {
		s.processor.kill()
	}
	return s.stop()
}

// watch returns an error when a program ends by itself, and nil when finished is
// closed.
func (s *stack) watch(finished <-chan struct{}) error {
	var err error
	var p *program
	select {
	case err = <-s.relay.ended:
		p = s.relay
	case err = <-s.processor.ended:
		p = s.processor
	case <-finished:
		return nil
	}
	p.tail(s.stderr)
	return err
}
