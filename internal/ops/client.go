package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// ErrNobody says that nothing listens at ops.listen: the program does not run,
// or not with this configuration.
var ErrNobody = errors.New("nothing answers")

// maxAnswer bounds what a Client reads.
const maxAnswer = 16 << 20

// Client asks the Server of a running program on this machine, at the
// ops.listen of its configuration.
type Client struct {
	Listen    string
	TokenFile string
	// Timeout bounds one request; 0 is 5 s.
	Timeout time.Duration
}

// Get is the body of a GET that was answered with 200.
func (c Client) Get(ctx context.Context, path string) ([]byte, error) {
	return c.Do(ctx, http.MethodGet, path, nil)
}

// Do sends a request with a JSON body, which may be nil. The error wraps
// ErrNobody when nothing listens.
func (c Client) Do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	host, err := dialable(c.Listen)
	if err != nil {
		return nil, err
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask ops.listen: %w", err)
	}
	if c.TokenFile != "" {
		token, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("read ops.token_file: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	// No proxy: this is our own program, on this machine.
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("%w at %s", ErrNobody, host)
		}
		return nil, fmt.Errorf("ask ops.listen: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s%s: %w", host, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("%s%s answered %s: %s", host, path, resp.Status, bytes.TrimSpace(answer))
	}
	return answer, nil
}

// dialable is the address under which this machine reaches a listener: one on
// all addresses is asked on the loopback.
func dialable(listen string) (string, error) {
	if listen == "" {
		return "", fmt.Errorf("%w: ops.listen is empty", ErrNobody)
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("ops.listen %q: want host:port: %w", listen, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}
