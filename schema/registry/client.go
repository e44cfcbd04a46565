package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/riferrei/srclient"
)

// Config says where the registry is and how patient a call is.
type Config struct {
	// URLs of one registry's nodes: whichever answers is asked. A base path is
	// kept, as in http://host:8080/apis/ccompat/v7.
	URLs         []string
	Username     string
	PasswordFile string        // read at each request
	Timeout      time.Duration // of one request; 0 is 5 s
	Attempts     int           // how often all URLs are tried; 0 is 3
	Backoff      time.Duration // before the second try, then doubled; 0 is 200 ms
	CacheSize    int           // schemas held by id; 0 is 4096
	// Observe is told every HTTP request, with status 0 where there was no answer.
	// It may be nil; it is called concurrently.
	Observe func(operation string, status int, elapsed time.Duration)
	// Transport sends the requests; nil is http.DefaultTransport.
	Transport http.RoundTripper
}

// Client asks a schema registry. Safe for concurrent use. Every call ends with
// its context; an error for which [Transient] holds may be tried again.
type Client struct {
	config    Config
	http      *http.Client
	preferred atomic.Int64 // index of the URL that answered last
	byID      *cache
}

// New dials nothing.
func New(c Config) *Client {
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Attempts <= 0 {
		c.Attempts = 3
	}
	if c.Backoff <= 0 {
		c.Backoff = 200 * time.Millisecond
	}
	if c.CacheSize <= 0 {
		c.CacheSize = 4096
	}
	return &Client{config: c, http: &http.Client{Transport: c.Transport}, byID: newCache(c.CacheSize)}
}

// ParseURLs splits a comma-separated list and checks each of it. Errors hold no
// password.
func ParseURLs(list string) ([]string, error) {
	var urls []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		u, err := url.Parse(part)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("want http://host:port, or several with commas between")
		}
		urls = append(urls, part)
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("want http://host:port, or several with commas between")
	}
	return urls, nil
}

func (c *Client) urls() []string {
	list := make([]string, len(c.config.URLs))
	for i, u := range c.config.URLs {
		list[i] = redacted(u)
	}
	return list
}

func (c *Client) observe(operation string, status int, elapsed time.Duration) {
	if c.config.Observe != nil {
		c.config.Observe(operation, status, elapsed)
	}
}

// call makes a srclient for one call. Its caches are off: its "latest" would
// stand for ever.
func (c *Client) call(t *trip) *srclient.SchemaRegistryClient {
	t.client = c
	s := srclient.NewSchemaRegistryClient("http://registry.invalid", srclient.WithClient(&http.Client{Transport: t}))
	s.CachingEnabled(false)
	return s
}

// outcome turns what srclient returned into our errors: the trip knows more
// than srclient tells.
func (t *trip) outcome(operation, subject string, err error) error {
	switch {
	case t.err != nil:
		return fmt.Errorf("registry: %s %s: %w", operation, subject, t.err)
	case t.status >= 300:
		return answerError(operation, subject, t)
	case err != nil:
		return fmt.Errorf("registry %s: %s %s: unreadable answer: %w", t.url, operation, subject, err)
	}
	return nil
}

// Register makes schema a version of subject, or finds it there, and returns its
// id. It may be repeated. Errors: *IncompatibleError, ErrInvalid, ErrAuth, or a
// transient one.
func (c *Client) Register(ctx context.Context, subject, schema string) (int, error) {
	id, err := c.Lookup(ctx, subject, schema)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return id, err
	}
	// srclient would read the schema back by its id, which a follower may not have
	// yet: the id of the first answer is all that is needed.
	t := &trip{ctx: ctx, operation: "register", only: http.MethodPost}
	_, err = c.call(t).CreateSchema(subject, schema, srclient.Avro)
	if err := t.outcome("register", subject, err); err != nil {
		return 0, err
	}
	var answer struct {
		ID *int `json:"id"`
	}
	if json.Unmarshal(t.body, &answer) != nil || answer.ID == nil {
		return 0, &Error{Operation: "register", Subject: subject, URL: t.url, Status: t.status, Message: "the answer has no id"}
	}
	return *answer.ID, nil
}

// Lookup is the id under which subject has schema, with an *UnregisteredError,
// which is an ErrNotFound, if it has not. Property order within the text does not
// matter.
func (c *Client) Lookup(ctx context.Context, subject, schema string) (int, error) {
	id, _, err := c.lookup(ctx, subject, schema, "")
	if !errors.Is(err, ErrNotFound) {
		return id, err
	}
	missing := &UnregisteredError{Subject: subject, Err: err}
	id, text, err := c.lookup(ctx, subject, schema, "normalize=true")
	switch {
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrNotFound):
		return 0, missing
	case err != nil:
		return 0, err
	case !sameJSON(text, schema):
		// Registries differ in what they call equal; some even sort the fields,
		// whose order is the order of the bytes.
		return 0, missing
	}
	return id, nil
}

func (c *Client) lookup(ctx context.Context, subject, schema, query string) (int, string, error) {
	t := &trip{ctx: ctx, operation: "lookup", query: query}
	found, err := c.call(t).LookupSchema(subject, schema, srclient.Avro)
	if err := t.outcome("lookup", subject, err); err != nil {
		return 0, "", err
	}
	return found.ID(), found.Schema(), nil
}

// SchemaByID is the text of a schema. It is asked for once and then held.
func (c *Client) SchemaByID(ctx context.Context, id int) (string, error) {
	return c.byID.get(ctx, id, func() (string, error) {
		t := &trip{ctx: ctx, operation: "schema"}
		found, err := c.call(t).GetSchema(id)
		if err := t.outcome("schema", fmt.Sprintf("id %d", id), err); err != nil {
			return "", err
		}
		return found.Schema(), nil
	})
}

// Compatible asks for the verdict that Register would get, without registering:
// by the subject's own compatibility level, against all versions that it
// concerns. A subject that does not exist yet takes everything.
func (c *Client) Compatible(ctx context.Context, subject, schema string) (bool, []string, error) {
	whole := func(path string) string { return strings.TrimSuffix(path, "/latest") }
	ok, messages, err := c.compatible(ctx, subject, schema, whole)
	var e *Error
	if errors.As(err, &e) && e.Code != 40401 && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented) {
		// Older registries know only the comparison with one version.
		ok, messages, err = c.compatible(ctx, subject, schema, nil)
	}
	if errors.Is(err, ErrNotFound) {
		return true, nil, nil
	}
	return ok, messages, err
}

func (c *Client) compatible(ctx context.Context, subject, schema string, rewrite func(string) string) (bool, []string, error) {
	t := &trip{ctx: ctx, operation: "compatible", query: "verbose=true", rewrite: rewrite}
	ok, err := c.call(t).IsSchemaCompatible(subject, schema, "latest", srclient.Avro)
	if err := t.outcome("compatible", subject, err); err != nil {
		return false, nil, err
	}
	var answer struct {
		Messages []string `json:"messages"`
	}
	if json.Unmarshal(t.body, &answer) != nil || ok {
		return ok, nil, nil
	}
	var messages []string
	for _, m := range answer.Messages {
		messages = append(messages, reasons(m)...)
	}
	if len(messages) == 0 {
		messages = []string{"no reason given"}
	}
	return false, messages, nil
}

// Ping tells whether the registry answers, with these credentials.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.level(ctx)
	return err
}

// level is the compatibility level of subjects that have none of their own; ""
// where the registry has none.
func (c *Client) level(ctx context.Context) (string, error) {
	t := &trip{ctx: ctx, operation: "ping"}
	level, err := c.call(t).GetGlobalCompatibilityLevel()
	err = t.outcome("ping", "config", err)
	if errors.Is(err, ErrNotFound) {
		return "", nil // it answered
	}
	if err != nil || level == nil {
		return "", err
	}
	return string(*level), nil
}
