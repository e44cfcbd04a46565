package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tailrace/tailrace/internal/embedded/child"
)

// program is a child process of the rig. One goroutine uses it.
type program struct {
	*child.Process
	name string
	log  string
	in   io.Closer // of a part: closing it lets it end
	out  *bufio.Reader
}

// start starts a program with its output in a log.
func (r *rig) start(name string, env []string, path string, args ...string) (*program, error) {
	p := &program{name: filepath.Base(path), log: filepath.Join(r.dir, name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	if p.Process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return nil, fmt.Errorf("start %s: %w; make bench builds what it needs", path, err)
	}
	return p, nil
}

// startPart starts one of parts. What it has to say, it says in lines of JSON;
// then it waits for the end of its input, so that it can be measured to its end.
func (r *rig) startPart(name string, args ...string) (*program, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &program{name: "bench " + args[0], log: filepath.Join(r.dir, name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer inR.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, inW.Close())
	}
	defer outW.Close()
	cmd := exec.Command(exe, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, log
	if p.Process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return nil, errors.Join(err, inW.Close(), outR.Close())
	}
	p.in, p.out = closers{inW, outR}, bufio.NewReader(outR)
	return p, nil
}

type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, x := range c {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}

// read reads the next line that a part says.
func (p *program) read(ctx context.Context, into any) error {
	defer context.AfterFunc(ctx, func() { p.Signal(syscall.SIGKILL) })()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		<-p.Done()
		return errors.Join(ctx.Err(), p.ended())
	}
	return json.Unmarshal(line, into)
}

// ended is why a program has ended, with the end of its log.
func (p *program) ended() error {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s ended (%s): … %s", p.name, p.State(), strings.TrimSpace(string(b[max(0, len(b)-1500):])))
}

// stop asks a program to end, and makes it when it does not.
func (p *program) stop() {
	if p.in != nil {
		_ = p.in.Close()
	} else {
		p.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.Done():
	case <-time.After(20 * time.Second):
		p.Signal(syscall.SIGKILL)
		<-p.Done()
	}
}

// say is how a part says something; hold is how it waits until it may end.
func say(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

func hold() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
