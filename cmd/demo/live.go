package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/tailrace/tailrace/cmd/demo/workload"
)

// liveFolder gets the configurations and logs, below the working directory.
const liveFolder = "demo"

// The ports of relay and processor: their defaults.
const (
	relayPort     = 9464
	processorPort = 9465
)

// liveRows is about how many rows the endless workload keeps.
const liveRows = 20000

// runLive is the demo without --check: it goes on until ctx ends.
func runLive(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	for _, port := range []*int{&o.postgresPort, &o.kafkaPort, &o.registryPort} {
		*port = freeUnlessTaken(*port)
	}
	data, err := os.MkdirTemp("", "tailrace-demo-")
	if err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	dir, err := filepath.Abs(liveFolder)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the demo's folder: %w", err)
	}
	ops := [2]int{freeUnlessTaken(relayPort), freeUnlessTaken(processorPort)}
	st, err := startStack(ctx, o, dir, data, ops, stderr)
	if err != nil {
		return errors.Join(err, removeEmpty(dir))
	}
	defer func() {
		err = errors.Join(err, st.down())
		if err == nil || ctx.Err() != nil { // logs of a failure stay
			err = errors.Join(err, st.cleanUp())
		}
	}()
	return st.live(ctx, o, stdout)
}

// live runs programs, workload and view until ctx ends or a program does.
func (s *stack) live(ctx context.Context, o options, stdout io.Writer) error {
	load := workload.New(workload.Config{
		URL: s.source(), Seed: o.seed, Rows: liveRows, Workers: workers, Endless: true, Rate: 20,
	})
	if err := load.Setup(ctx); err != nil {
		return err
	}
	if err := load.Load(ctx); err != nil {
		return err
	}
	if err := s.startInOrder(ctx); err != nil {
		return err
	}
	if err := s.explain(stdout, o.bin); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	worked, shown := make(chan error, 1), make(chan error, 1)
	go func() { defer cancel(); worked <- load.Run(ctx) }()
	go func() {
		defer cancel()
		shown <- (&view{stack: s, load: load, out: stdout, terminal: isTerminal(stdout)}).run(ctx)
	}()
	err := s.watch(ctx.Done())
	cancel()
	err = errors.Join(err, <-worked, <-shown)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.stderr, "stopping …")
	return s.stopPrograms()
}

// startInOrder starts the processor when the relay streams or has had its time: a
// processor that is there before the topics finds them too, but only when it looks
// for new ones again, and nobody likes a demo that does nothing at first.
func (s *stack) startInOrder(ctx context.Context) error {
	if err := s.relay.start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		if st, err := status[relayStatus](ctx, s.relayOps); err == nil && st.State == "streaming" {
			break
		}
		select {
		case err := <-s.relay.ended:
			s.relay.tail(s.stderr)
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return s.processor.start()
}

var explanation = template.Must(template.New("").Parse(`
tailrace is copying shop (PostgreSQL) through the broker to warehouse (PostgreSQL).

  source      psql {{.Source}}
  sink        psql {{.Sink}}
  records     {{.Bin}}/relay tail {{.Name}}.public.orders -c {{.Dir}}/relay.yaml
  relay       {{.Bin}}/relay status -c {{.Dir}}/relay.yaml
  processor   {{.Bin}}/processor status -c {{.Dir}}/processor.yaml
  broker      kcat -b {{.Kafka}} -L
  schemas     curl {{.Registry}}/subjects
  metrics     curl http://{{.RelayOps}}/metrics and http://{{.ProcOps}}/metrics
  logs        tail -f {{.Dir}}/relay.log {{.Dir}}/processor.log

Ctrl-C stops everything and removes it.

`))

// explain prints how to look at each part.
func (s *stack) explain(stdout io.Writer, bin string) error {
	return explanation.Execute(stdout, map[string]string{
		"Source": s.source(), "Sink": s.sink(), "Kafka": s.kafka, "Registry": s.registryURL, "Name": s.name,
		"RelayOps": s.relayOps, "ProcOps": s.procOps, "Bin": nearer(bin), "Dir": nearer(s.dir),
	})
}

// nearer is a path as seen from the working directory, when that is shorter.
func nearer(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && len(rel) < len(path) {
			return rel
		}
	}
	return path
}

// cleanUp removes what was written into the folder, and the folder when it is
// empty then: someone may have put files of their own there.
func (s *stack) cleanUp() error {
	var errs []error
	for _, f := range s.files() {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, removeEmpty(s.dir))...)
}

func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		return err
	}
	return os.Remove(dir)
}

// freeUnlessTaken is port, or 0 for a free one when something listens there.
func freeUnlessTaken(port int) int {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return 0
	}
	_ = l.Close()
	return port
}

// isTerminal tells whether w shows text to a person.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// interval is the time between two looks.
func interval(terminal bool) time.Duration {
	if terminal {
		return time.Second
	}
	return 5 * time.Second
}
