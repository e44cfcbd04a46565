package golden

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tailrace/tailrace/internal/ops"
)

// patience is how long anything may take that a case waits for.
const patience = time.Minute

// process is a running relay.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	ops  string // address of its page
	log  *output
	done chan struct{}
	err  error // after done
}

// output keeps what a process wrote. Safe for concurrent use.
type output struct {
	mu sync.Mutex // guards the following
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// startRelay starts a relay that is gone when the test ends; it is asked for
// nothing here.
func startRelay(t *testing.T, binary, config, ops string) *process {
	t.Helper()
	p := &process{t: t, ops: ops, log: &output{}, done: make(chan struct{})}
	p.cmd = exec.Command(binary, "run", "-c", config)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may be gone already
		<-p.done
		if t.Failed() {
			t.Logf("relay:\n%s", p.log)
		}
	})
	return p
}

// until asks again and again until ok; what it says last is the failure.
func (p *process) until(ok func() (bool, string)) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		done, why := ok()
		if done {
			return
		}
		select {
		case <-p.done:
			p.t.Fatalf("the relay ended: %v", p.err)
		case <-deadline:
			p.t.Fatalf("not within %s: %s", patience, why)
		case <-time.After(15 * time.Millisecond):
		}
	}
}

// awaitState waits until the relay is in a state. One that a person must settle
// is not waited out.
func (p *process) awaitState(want string) ops.Health {
	p.t.Helper()
	var h ops.Health
	p.until(func() (bool, string) {
		resp, err := http.Get("http://" + p.ops + "/readyz")
		if err != nil {
			return false, err.Error()
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
			return false, err.Error()
		}
		if h.State == ops.StateStopped && want != h.State {
			p.t.Fatalf("the relay stopped, want it %s: %s", want, h.Reason)
		}
		return h.State == want, fmt.Sprintf("state %q (%s), want %q", h.State, h.Reason, want)
	})
	return h
}

// metric is the value of a series on /metrics; 0 while there is none.
func (p *process) metric(series string) (float64, error) {
	resp, err := http.Get("http://" + p.ops + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return 0, err
}

// stop ends the relay as an operator does: what it has read is published and
// confirmed when this returns.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the relay did not end within %s", patience)
	}
	if p.err != nil {
		p.t.Fatalf("the relay ended: %v", p.err)
	}
}
