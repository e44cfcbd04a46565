package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/tailrace/tailrace/internal/embedded/child"
)

// patience is how long a server may take until it answers. A broker that was
// killed reads its log again first, and Connect took two minutes on two cores with
// ten other processes.
const patience = 5 * time.Minute

// server is a Java program that is started as often as it is killed. Its methods
// are safe for concurrent use.
type server struct {
	name    string
	command []string
	dir     string // the working folder
	log     string // the file that gets its output, of all starts
	answers func(context.Context) error

	mu   sync.Mutex     // guards the following
	proc *child.Process // nil: not running
}

// start returns when the server answers.
func (s *server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		return fmt.Errorf("%s runs already", s.name)
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.command[0], s.command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	proc, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	s.proc = proc
	if err := s.await(ctx); err != nil {
		s.end(syscall.SIGKILL, 0)
		return fmt.Errorf("start %s: %w\n%s", s.name, err, s.tail())
	}
	return nil
}

// await asks until the server answers or ends.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, 2*time.Second)
		err := s.answers(try)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-s.proc.Done():
			return fmt.Errorf("it ended: %s", s.proc.State())
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Kill is SIGKILL; it returns when the process is gone.
func (s *server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(syscall.SIGKILL, 0)
}

// Pid is the process id, and 0 when it does not run.
func (s *server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.Pid()
}

// end is called with mu held.
func (s *server) end(sig syscall.Signal, grace time.Duration) {
	if s.proc == nil {
		return
	}
	s.proc.Signal(sig)
	if grace > 0 {
		select {
		case <-s.proc.Done():
		case <-time.After(grace):
			s.proc.Signal(syscall.SIGKILL)
		}
	}
	<-s.proc.Done()
	s.proc = nil
}

// tail is the end of the log, for error messages.
func (s *server) tail() string {
	f, err := os.Open(s.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	return end(string(b))
}

// freePort is a port on 127.0.0.1 that nothing listens on, below those that the
// system gives to outgoing connections: while a server is away, nobody gets it.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("found no free port between 20000 and 32000")
}
