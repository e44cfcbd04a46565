package ops

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func startServer(t *testing.T, c ServerConfig) *Server {
	t.Helper()
	c.Listen = "127.0.0.1:0"
	if c.Registry == nil {
		c.Registry = NewRegistry("relay")
	}
	s, err := Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	s.HandleGuarded("POST /resume", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, "done") }))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func ask(t *testing.T, method, url string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestReadyzFollowsTheState(t *testing.T) {
	t.Parallel()
	var health atomic.Pointer[Health]
	health.Store(&Health{State: StateStarting})
	s := startServer(t, ServerConfig{Health: func() Health { return *health.Load() }, Status: func(context.Context) (any, error) { return map[string]int{"rate": 3}, nil }})
	base := "http://" + s.Addr().String()
	for state, want := range map[string]int{
		StateStarting: 503, StateStandby: 503, StateSnapshot: 200, StateStreaming: 200, StateStopped: 503, StateDisconnected: 503,
	} {
		health.Store(&Health{state, "because"})
		code, body := ask(t, "GET", base+"/readyz", nil)
		var h Health
		if err := json.Unmarshal([]byte(body), &h); err != nil || code != want || h.State != state {
			t.Errorf("%s: got %d %s, want %d", state, code, body, want)
		}
	}
	health.Store(&Health{StateStopped, "schema refused"})
	if _, body := ask(t, "GET", base+"/readyz", nil); body != "{\"state\":\"stopped\",\"reason\":\"schema refused\"}\n" {
		t.Error(body)
	}
	if code, _ := ask(t, "GET", base+"/healthz", nil); code != 200 {
		t.Errorf("healthz: %d", code)
	}
	if code, body := ask(t, "GET", base+"/status", nil); code != 200 || body != "{\"rate\":3}\n" {
		t.Errorf("status: %d %s", code, body)
	}
	_, metrics := ask(t, "GET", base+"/metrics", nil)
	for _, want := range []string{"tailrace_relay_build_info", "go_goroutines"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
}

func TestGuardedPages(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	health := func() Health { return Health{} }
	open := startServer(t, ServerConfig{Health: health})
	guarded := startServer(t, ServerConfig{Health: health, TokenFile: token})
	for _, c := range []struct {
		name   string
		server *Server
		header http.Header
		want   int
	}{
		{"this machine", open, nil, 200},
		{"a stranger's name", open, http.Header{"Host": {"evil.example"}}, 403},
		{"a stranger's page", open, http.Header{"Origin": {"http://evil.example"}}, 403},
		{"no token", guarded, nil, 403},
		{"wrong token", guarded, http.Header{"Authorization": {"Bearer no"}}, 403},
		{"token", guarded, http.Header{"Authorization": {"Bearer s3cret"}}, 200},
	} {
		if code, body := ask(t, "POST", "http://"+c.server.Addr().String()+"/resume", c.header); code != c.want {
			t.Errorf("%s: got %d %s, want %d", c.name, code, body, c.want)
		}
	}
	answer, err := Client{Listen: guarded.Addr().String(), TokenFile: token}.Do(t.Context(), "POST", "/resume", nil)
	if err != nil || string(answer) != "\"done\"\n" {
		t.Errorf("client: %s, %v", answer, err)
	}
}

func TestPortInUseSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := startServer(t, ServerConfig{Health: func() Health { return Health{} }})
	_, err := Listen(ServerConfig{Listen: s.Addr().String(), Registry: NewRegistry("relay")})
	if err == nil || !strings.Contains(err.Error(), "Set ops.listen to a free address") {
		t.Error(err)
	}
}

func TestClientTellsThatNobodyListens(t *testing.T) {
	t.Parallel()
	s, err := Listen(ServerConfig{Listen: "127.0.0.1:0", Registry: NewRegistry("relay")})
	if err != nil {
		t.Fatal(err)
	}
	addr := s.Addr().String()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := (Client{Listen: addr}).Get(t.Context(), "/status"); !errors.Is(err, ErrNobody) {
		t.Error(err)
	}
	for in, want := range map[string]string{":80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "h:80": "h:80"} {
		if got, err := dialable(in); got != want || err != nil {
			t.Errorf("dialable(%q) = %q, %v", in, got, err)
		}
	}
}
