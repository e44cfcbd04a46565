package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Config says how a Server runs. Its zero value is a registry in memory on a free
// port.
type Config struct {
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// DataDir keeps schemas and ids over restarts.
	DataDir string
}

// Server is a Registry that listens on 127.0.0.1.
type Server struct {
	*Registry
	http *http.Server
	url  string
	done chan struct{} // closed when the listener's goroutine has ended
}

// Start returns when the registry answers.
func Start(cfg Config) (*Server, error) {
	r, err := New(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port)))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the schema registry: %w", err), r.Close())
	}
	s := &Server{
		Registry: r,
		http:     &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second},
		url:      "http://" + l.Addr().String(),
		done:     make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // ends with Close
	}()
	return s, nil
}

// URL is the address for clients.
func (s *Server) URL() string { return s.url }

// Close answers what was asked, for a second at most, and ends. A second call does
// nothing.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	<-s.done
	return errors.Join(err, s.Registry.Close())
}
