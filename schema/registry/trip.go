package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds what is read of one answer.
const maxAnswer = 32 << 20

// maxRetryAfter bounds how long a server may make one call wait.
const maxRetryAfter = 5 * time.Second

// trip is the http.RoundTripper of one call. It gives srclient, which knows only
// one URL and no context, what it lacks: the caller's context, a deadline for
// each request, retries, fail-over and query parameters. Afterwards it holds
// the answer, of which srclient keeps too little.
type trip struct {
	client    *Client
	ctx       context.Context
	operation string
	query     string                   // added to the request
	rewrite   func(path string) string // of the path, if not nil
	only      string                   // the only method that is sent; the others get {} for an answer
	status    int                      // of the answer; 0: none
	body      []byte                   // of the answer
	url       string                   // that answered, without password
	err       error                    // when there was no answer
}

// RoundTrip sends one request of srclient, to whichever URL answers.
func (t *trip) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		_ = req.Body.Close() // bytes of our own
	}
	if t.only != "" && t.only != req.Method {
		return response(req, http.StatusOK, []byte("{}")), nil
	}
	t.status, t.body, t.url, t.err = t.send(req, body)
	if t.err != nil {
		return nil, t.err
	}
	return response(req, t.status, t.body), nil
}

func response(req *http.Request, status int, answer []byte) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(answer)), ContentLength: int64(len(answer)), Request: req,
	}
}

// send tries every URL, beginning with the one that answered last, and after a
// pause all of them again.
func (t *trip) send(req *http.Request, body []byte) (status int, answer []byte, from string, err error) {
	c := t.client
	var last error
	tries := 0
	for round := range c.config.Attempts {
		pause := time.Duration(0)
		for i := range c.config.URLs {
			at := (int(c.preferred.Load()) + i) % len(c.config.URLs)
			tries++
			status, answer, retryAfter, err := t.once(c.config.URLs[at], req, body)
			if t.ctx.Err() != nil {
				return 0, nil, "", t.ctx.Err()
			}
			if err == nil && !again(status) {
				c.preferred.Store(int64(at))
				return status, answer, redacted(c.config.URLs[at]), nil
			}
			if last = err; err == nil {
				last = fmt.Errorf("%s answered %d: %s", redacted(c.config.URLs[at]), status, shorten(string(answer)))
			}
			pause = max(pause, retryAfter)
		}
		if round == c.config.Attempts-1 {
			break
		}
		backoff := c.config.Backoff << round
		if err := sleep(t.ctx, max(min(pause, maxRetryAfter), backoff/2+rand.N(backoff/2+1))); err != nil {
			return 0, nil, "", err
		}
	}
	return 0, nil, "", &UnreachableError{URLs: c.urls(), Tries: tries, Err: last}
}

// again tells whether a status says nothing about the request itself.
func again(status int) bool {
	return status >= 500 && status != http.StatusNotImplemented || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

func (t *trip) once(base string, req *http.Request, body []byte) (status int, answer []byte, retryAfter time.Duration, err error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.client.config.Timeout)
	defer cancel()
	started := time.Now()
	defer func() { t.client.observe(t.operation, status, time.Since(started)) }()
	target, err := t.target(base, req.URL)
	if err != nil {
		return 0, nil, 0, err
	}
	out, err := http.NewRequestWithContext(ctx, req.Method, target, bytes.NewReader(body))
	if err != nil {
		return 0, nil, 0, fmt.Errorf("registry URL: %w", err)
	}
	for key, values := range req.Header {
		out.Header[key] = values
	}
	out.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	if err := t.client.authorize(out); err != nil {
		return 0, nil, 0, err
	}
	resp, err := t.client.http.Do(out)
	if err != nil {
		return 0, nil, 0, withoutPassword(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, 0, fmt.Errorf("read the answer of %s: %w", redacted(base), err)
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		retryAfter = time.Duration(seconds) * time.Second
	}
	return resp.StatusCode, answer, retryAfter, nil
}

// target is the request's path and query below one registry's base URL.
func (t *trip) target(base string, u *url.URL) (string, error) {
	path := u.EscapedPath()
	if t.rewrite != nil {
		path = t.rewrite(path)
	}
	target, err := url.Parse(strings.TrimRight(base, "/") + path)
	if err != nil {
		return "", withoutPassword(err)
	}
	target.RawQuery = strings.Trim(u.RawQuery+"&"+t.query, "&")
	return target.String(), nil
}

func (c *Client) authorize(req *http.Request) error {
	if c.config.Username == "" {
		return nil
	}
	password := ""
	if c.config.PasswordFile != "" {
		// Read each time, so that a rotated password is taken up.
		b, err := os.ReadFile(c.config.PasswordFile)
		if err != nil {
			return fmt.Errorf("read registry.password_file: %w", err)
		}
		password = strings.TrimSpace(string(b))
	}
	req.SetBasicAuth(c.config.Username, password)
	return nil
}

// withoutPassword takes the URL, which may have a password, out of an error of
// net/http or net/url.
func withoutPassword(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Op == "parse" {
			return errors.New("registry.url is not a URL")
		}
		return fmt.Errorf("%s: %w", redacted(u.URL), u.Err)
	}
	return err
}

// redacted is a URL without password, for messages.
func redacted(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(not a URL)"
	}
	u.RawQuery = ""
	return u.Redacted()
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
