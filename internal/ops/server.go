package ops

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// shutdownTimeout is how long requests that are under way may still take.
const shutdownTimeout = 2 * time.Second

// ServerConfig is what a Server shows.
type ServerConfig struct {
	Listen    string // host:port; port 0 takes a free one
	TokenFile string // a bearer token, for everything that changes something
	Registry  prometheus.Gatherer
	// Health is asked at each /readyz. It must not block.
	Health func() Health
	// Status is asked at each /status; what it returns is written as JSON.
	Status func(context.Context) (any, error)
	Log    *slog.Logger
}

// Server is /metrics, /healthz, /readyz and /status over HTTP. Safe for
// concurrent use, but every HandleGuarded comes before Run.
type Server struct {
	config   ServerConfig
	listener net.Listener
	mux      *http.ServeMux
	token    string
}

// Listen opens the port, so that a port in use is known before anything else
// starts. Run serves on it; Close gives it up without Run.
func Listen(c ServerConfig) (*Server, error) {
	s := &Server{config: c, mux: http.NewServeMux()}
	if c.TokenFile != "" {
		b, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("read ops.token_file: %w", err)
		}
		if s.token = strings.TrimSpace(string(b)); s.token == "" {
			return nil, fmt.Errorf("ops.token_file %s is empty; write a token into it", c.TokenFile)
		}
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for /metrics and /readyz: %w; is another one running? Set ops.listen to a free address", err)
	}
	s.listener = listener
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(c.Registry, promhttp.HandlerOpts{}))
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("GET /status", s.status)
	return s, nil
}

// Addr is the address that it listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives the port up.
func (s *Server) Close() error { return s.listener.Close() }

// HandleGuarded adds a page that changes something or shows values. With a
// token file it wants the token; without one it answers this machine only. Each
// request is logged.
func (s *Server) HandleGuarded(pattern string, h http.Handler) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		refusal := s.refuse(r)
		if s.config.Log != nil {
			s.config.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("method", r.Method), slog.String("path", r.URL.Path),
				slog.String("remote", r.RemoteAddr), slog.Bool("allowed", refusal == ""))
		}
		if refusal != "" {
			writeJSON(w, http.StatusForbidden, map[string]string{"error": refusal})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// refuse says why a guarded request is not answered; "" when it is. Without a
// token the Host is looked at too, since a page of a stranger can make a browser
// on this machine ask under the stranger's name.
func (s *Server) refuse(r *http.Request) string {
	if s.token != "" {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.token))
		if subtle.ConstantTimeCompare(a[:], b[:]) == 1 {
			return ""
		}
		return "wants the token of ops.token_file, as Authorization: Bearer TOKEN"
	}
	if isLoopback(r.RemoteAddr) && isLoopback(r.Host) && r.Header.Get("Origin") == "" {
		return ""
	}
	return "answers this machine only; set ops.token_file to allow others"
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	h := s.config.Health()
	code := http.StatusServiceUnavailable
	if h.Ready() {
		code = http.StatusOK
	}
	writeJSON(w, code, h)
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	v, err := s.config.Status(r.Context())
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, v)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		code, b = http.StatusInternalServerError, []byte(`{"error":"status cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n')) // the client may be gone
}

// Run serves until ctx ends, then lets requests that are under way finish for a
// moment.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{Handler: s.mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve /metrics and /readyz: %w", err)
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(bounded); err != nil {
		_ = server.Close() // a request that hangs is cut
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve /metrics and /readyz: %w", err)
	}
	return nil
}
