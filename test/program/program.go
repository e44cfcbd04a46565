// Package program builds the relay and runs it, for tests that drive it from the
// outside.
package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Relay is a relay that is built. It is a value; several tests may run it.
type Relay struct{ path string }

// Build builds the relay into a folder.
func Build(dir string) (Relay, error) {
	path := filepath.Join(dir, "relay")
	build := exec.Command("go", "build", "-o", path, "github.com/tailrace/tailrace/cmd/relay")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return Relay{}, fmt.Errorf("build the relay: %w\n%s", err, out)
	}
	return Relay{path}, nil
}

// Command is the relay with arguments.
func (r Relay) Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, r.path, args...)
}

// FreeAddress is an address of this machine that nothing listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// Process is a running relay. Its methods are safe for concurrent use.
type Process struct {
	url  string
	log  string
	proc *os.Process
	done chan struct{} // closed when it has ended

	mu  sync.Mutex // guards err
	err error
}

// Run starts `relay run` on a configuration whose ops.listen is given, and returns
// when it streams. Its output is appended to the file log. It is stopped with the
// test, unless it was before, and has to end by itself then.
func (r Relay) Run(t testing.TB, config, listen, log string, env ...string) *Process {
	t.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(r.path, "run", "-c", config)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{url: "http://" + listen, log: log, proc: cmd.Process, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		err := cmd.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.err = err
	}()
	t.Cleanup(func() {
		p.Stop(t)
		if t.Failed() {
			t.Logf("the end of the relay's log, %s:\n%s", log, p.tail())
		}
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	})
	p.awaitStream(t)
	return p
}

// Stop is SIGTERM; it returns when the relay has ended.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	_ = p.proc.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		_ = p.proc.Kill()
		<-p.done
		t.Error("the relay did not end within 30 s of SIGTERM")
	}
}

// tail is the end of the log.
func (p *Process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

func (p *Process) awaitStream(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		state, err := p.state(ctx)
		if state == "streaming" {
			return
		}
		if err := errors.Join(err, p.Healthy(ctx)); ctx.Err() != nil || p.ended() || state == "stopped" {
			t.Fatalf("the relay does not stream: %s %v", state, err)
		}
		select {
		case <-ctx.Done():
		case <-p.done:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Healthy is an error once the relay has ended, or has stopped for a person.
func (p *Process) Healthy(ctx context.Context) error {
	if p.ended() {
		p.mu.Lock()
		defer p.mu.Unlock()
		return fmt.Errorf("the relay ended: %w", p.err)
	}
	if state, err := p.state(ctx); state == "stopped" {
		return err
	}
	return nil
}

// state is what /readyz says; "stopped" comes with the reason.
func (p *Process) state(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/readyz", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var h struct{ State, Reason string }
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		return "", err
	}
	if h.State == "stopped" {
		return h.State, fmt.Errorf("the relay has stopped: %s", h.Reason)
	}
	return h.State, nil
}
