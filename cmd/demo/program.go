package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/tailrace/tailrace/internal/embedded/child"
)

// stopGrace is how long a program may take to end after SIGTERM.
const stopGrace = 30 * time.Second

// program is relay or processor as a child process, started as often as it is
// killed. Its methods are safe for concurrent use.
type program struct {
	name string
	path string
	args []string
	log  string // the file that gets its output, of all starts

	ended chan error // gets an error when it ends without being told to

	mu   sync.Mutex // guards the following
	proc *child.Process
	told map[*child.Process]bool // to end
}

func newProgram(bin, name, config, log string) *program {
	return &program{
		name:  name,
		path:  filepath.Join(bin, name),
		args:  []string{"run", "--config", config, "--log-format", "text"},
		log:   log,
		ended: make(chan error, 1),
		told:  map[*child.Process]bool{},
	}
}

func (p *program) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	fmt.Fprintf(log, "--- %s %s\n", time.Now().UTC().Format(time.RFC3339Nano), cmd)
	proc, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("start %s: %w; make build makes it", p.name, err)
	}
	p.proc = proc
	go func() { // ends with the process
		<-proc.Done()
		p.mu.Lock()
		told := p.told[proc]
		delete(p.told, proc)
		p.mu.Unlock()
		if told {
			return
		}
		select {
		case p.ended <- fmt.Errorf("%s ended by itself (%s); its log is %s", p.name, proc.State(), p.log):
		default:
		}
	}()
	return nil
}

// signal tells the process to end and returns it; nil when it has not started.
func (p *program) signal(sig syscall.Signal) *child.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc == nil {
		return nil
	}
	select {
	case <-p.proc.Done(): // by itself
	default:
		p.told[p.proc] = true
	}
	p.proc.Signal(sig)
	return p.proc
}

// kill ends the process as the kernel does when memory runs out, and returns when
// it is gone.
func (p *program) kill() {
	if proc := p.signal(syscall.SIGKILL); proc != nil {
		<-proc.Done()
	}
}

// stop asks the process to end, and expects exit code 0.
func (p *program) stop() error {
	proc := p.signal(syscall.SIGTERM)
	if proc == nil {
		return nil
	}
	select {
	case <-proc.Done():
	case <-time.After(stopGrace):
		p.kill()
		return fmt.Errorf("%s did not end within %s after SIGTERM; its log is %s", p.name, stopGrace, p.log)
	}
	if !proc.State().Success() {
		return fmt.Errorf("%s, asked to stop, ended with %s; its log is %s", p.name, proc.State(), p.log)
	}
	return nil
}

// tail copies the last lines of the log, for people.
func (p *program) tail(w io.Writer) {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return
	}
	const most = 3000
	if len(b) > most {
		b = b[len(b)-most:]
	}
	fmt.Fprintf(w, "--- the end of %s\n%s\n", p.log, b)
}

// freePort is a port on 127.0.0.1 that nothing listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
