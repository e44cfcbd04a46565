package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailrace/tailrace/cdc"
)

// request is what a scripted registry was asked.
type request struct {
	method, path, query, schema, user, password string
}

// scripted is a registry whose answers a test chooses.
func scripted(t *testing.T, answer func(r request) (int, string)) (*httptest.Server, func() []request) {
	t.Helper()
	var mu sync.Mutex
	var asked []request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		var sent struct {
			Schema string `json:"schema"`
		}
		if len(body) > 0 {
			if err := json.Unmarshal(body, &sent); err != nil {
				t.Error(err)
			}
		}
		user, password, _ := q.BasicAuth()
		r := request{q.Method, q.URL.EscapedPath(), q.URL.RawQuery, sent.Schema, user, password}
		mu.Lock()
		asked = append(asked, r)
		mu.Unlock()
		status, text := answer(r)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return s, func() []request {
		mu.Lock()
		defer mu.Unlock()
		return asked
	}
}

func client(urls ...string) *Client {
	return New(Config{URLs: urls, Timeout: 5 * time.Second, Backoff: time.Millisecond})
}

const schemaText = `{"type":"record","name":"Key","namespace":"shop.public.t","fields":[{"name":"id","type":"int"},{"name":"b","type":"long"}],"connect.name":"shop.public.t.Key"}`

func TestRegisterSendsOurTextAsItIs(t *testing.T) {
	t.Parallel()
	s, asked := scripted(t, func(r request) (int, string) {
		if r.path == "/base/subjects/shop.public.t%2Fx-key/versions" {
			return 200, `{"id":7}`
		}
		return 404, `{"error_code":40403,"message":"Schema not found"}`
	})
	id, err := client(s.URL+"/base/").Register(t.Context(), "shop.public.t/x-key", schemaText)
	if err != nil || id != 7 {
		t.Fatalf("got %d, %v", id, err)
	}
	var got []string
	for _, r := range asked() {
		got = append(got, r.method+" "+r.path+"?"+r.query)
		if r.schema != schemaText {
			t.Errorf("sent %s", r.schema)
		}
	}
	want := []string{
		"POST /base/subjects/shop.public.t%2Fx-key?",
		"POST /base/subjects/shop.public.t%2Fx-key?normalize=true",
		"POST /base/subjects/shop.public.t%2Fx-key/versions?",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestNormalisedLookupTakesOnlyAnEqualSchema(t *testing.T) {
	t.Parallel()
	reordered := `{"connect.name":"shop.public.t.Key","name":"Key","namespace":"shop.public.t","type":"record","fields":[{"type":"int","name":"id"},{"type":"long","name":"b"}]}`
	sorted := strings.Replace(schemaText, `{"name":"id","type":"int"},{"name":"b","type":"long"}`, `{"name":"b","type":"long"},{"name":"id","type":"int"}`, 1)
	for text, want := range map[string]int{reordered: 7, sorted: 8, strings.Replace(schemaText, "long", "int", 1): 8} {
		s, _ := scripted(t, func(r request) (int, string) {
			switch {
			case strings.HasSuffix(r.path, "/versions"):
				return 200, `{"id":8}`
			case r.query == "normalize=true":
				b, _ := json.Marshal(map[string]any{"id": 7, "version": 1, "schema": text})
				return 200, string(b)
			}
			return 404, `{"error_code":40403}`
		})
		if id, err := client(s.URL).Register(t.Context(), "s", schemaText); err != nil || id != want {
			t.Errorf("registered under %s: got %d, %v, want %d", text, id, err, want)
		}
	}
}

func TestErrorsSayWhatKindTheyAre(t *testing.T) {
	t.Parallel()
	const refused = `Schema being registered is incompatible with an earlier schema for subject "s", details: [{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'b' at path '/fields/1' has no default', additionalInfo:'b'}, {oldSchemaVersion: 1}, {oldSchema: '{...}'}]`
	for _, c := range []struct {
		status    int
		body      string
		is        error
		transient bool
		want      string
	}{
		{401, `{"error_code":401,"message":"who"}`, ErrAuth, false, "set registry.username"},
		{403, `no`, ErrAuth, false, "answered 403: no"},
		{422, `{"error_code":42201,"message":"Input schema is invalid"}`, ErrInvalid, false, "answered 422 (42201): Input schema is invalid"},
		{500, `{"error_code":50001,"message":"backend store"}`, nil, true, "no answer in 3 tries"},
		{503, ``, nil, true, "answered 503: no reason given"},
		{429, ``, nil, true, "answered 429"},
	} {
		s, asked := scripted(t, func(request) (int, string) { return c.status, c.body })
		_, err := client(s.URL).Register(t.Context(), "s", schemaText)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) || Transient(err) != c.transient {
			t.Errorf("%d: got %v (transient %v)", c.status, err, Transient(err))
		}
		if n := len(asked()); c.transient && n != 3 || !c.transient && n != 1 {
			t.Errorf("%d: asked %d times", c.status, n)
		}
	}
	s, _ := scripted(t, func(r request) (int, string) {
		if strings.HasSuffix(r.path, "/versions") {
			b, _ := json.Marshal(map[string]any{"error_code": 409, "message": refused})
			return 409, string(b)
		}
		return 404, `{"error_code":40401}`
	})
	_, err := client(s.URL).Register(t.Context(), "s", schemaText)
	var incompatible *IncompatibleError
	if !errors.As(err, &incompatible) || incompatible.Subject != "s" || Transient(err) ||
		fmt.Sprint(incompatible.Messages) != "[The field 'b' at path '/fields/1' has no default]" {
		t.Errorf("got %v", err)
	}
}

func TestAnotherURLIsAskedWhenOneFails(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	down.Store(true)
	first, askedFirst := scripted(t, func(request) (int, string) {
		if down.Load() {
			return 503, ""
		}
		return 200, `{"schema":"\"int\""}`
	})
	second, _ := scripted(t, func(request) (int, string) { return 200, `{"schema":"\"long\""}` })
	dead := httptest.NewServer(nil)
	dead.Close()
	c := client(dead.URL, first.URL, second.URL)
	if got, err := c.SchemaByID(t.Context(), 1); err != nil || got != `"long"` {
		t.Fatalf("got %s, %v", got, err)
	}
	down.Store(false)
	if got, err := c.SchemaByID(t.Context(), 2); err != nil || got != `"long"` {
		t.Errorf("the one that answered last is not asked first: %s, %v", got, err)
	}
	if n := len(askedFirst()); n != 1 {
		t.Errorf("the first was asked %d times", n)
	}
}

func TestPasswordsAreSentAndNeverPrinted(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, asked := scripted(t, func(request) (int, string) { return 500, "" })
	c := New(Config{URLs: []string{s.URL, strings.Replace(s.URL, "//", "//u:hunter3@", 1), "http://u:hunter4@127.0.0.1:1"}, Username: "me", PasswordFile: file, Attempts: 1})
	err := c.Ping(t.Context())
	if err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("got %v", err)
	}
	if r := asked()[0]; r.user != "me" || r.password != "hunter2" {
		t.Errorf("sent %+v", r)
	}
	for _, bad := range []string{"", " , ", "127.0.0.1:8081", "ftp://h", "http://u:hunter2@h:%zz"} {
		if _, err := ParseURLs(bad); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if urls, err := ParseURLs("http://a:1, https://b/x"); err != nil || len(urls) != 2 || urls[1] != "https://b/x" {
		t.Errorf("got %v, %v", urls, err)
	}
}

func TestContextEndsACall(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	asked := make(chan struct{}, 10)
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; <-hang }))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(hang) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	_, err := client(s.URL).Register(ctx, "s", schemaText)
	if !errors.Is(err, context.Canceled) || Transient(err) {
		t.Errorf("got %v", err)
	}
	slow := New(Config{URLs: []string{s.URL}, Timeout: 20 * time.Millisecond, Attempts: 2, Backoff: time.Millisecond})
	if err := slow.Ping(t.Context()); !Transient(err) {
		t.Errorf("a request that hangs: %v", err)
	}
}

func TestSchemaByIDAsksOnce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s, asked := scripted(t, func(request) (int, string) { <-release; return 200, `{"schema":"\"int\""}` })
	c := client(s.URL)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := c.SchemaByID(t.Context(), 5); err != nil || got != `"int"` {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
	close(release)
	wg.Wait()
	if n := len(asked()); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestWaitersOutliveTheOneWhoAsks(t *testing.T) {
	t.Parallel()
	c := newCache(2)
	inside := make(chan struct{})
	first, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.get(first, 1, func() (string, error) { close(inside); <-first.Done(); return "", first.Err() })
		done <- err
	}()
	<-inside
	got := make(chan string, 1)
	go func() {
		text, err := c.get(t.Context(), 1, func() (string, error) { return "mine", nil })
		if err != nil {
			t.Error(err)
		}
		got <- text
	}()
	cancel()
	if text := <-got; text != "mine" {
		t.Errorf("got %q", text)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for id := range 5 {
		if _, err := c.get(t.Context(), id, func() (string, error) { return "x", nil }); err != nil {
			t.Error(err)
		}
	}
	if len(c.byID) != 2 || c.recent.Len() != 2 {
		t.Errorf("%d schemas are held, want 2", len(c.byID))
	}
}

func TestCompatibleFallsBackToTheLatestVersion(t *testing.T) {
	t.Parallel()
	s, asked := scripted(t, func(r request) (int, string) {
		if strings.HasSuffix(r.path, "/latest") {
			return 200, `{"is_compatible":false,"messages":["no"]}`
		}
		return 404, `{"error_code":404,"message":"HTTP 404 Not Found"}`
	})
	ok, messages, err := client(s.URL).Compatible(t.Context(), "s", schemaText)
	if ok || err != nil || fmt.Sprint(messages) != "[no]" || len(asked()) != 2 || asked()[0].query != "verbose=true" {
		t.Errorf("got %v %v %v", ok, messages, err)
	}
}

func TestMetricsCountRequests(t *testing.T) {
	t.Parallel()
	s, _ := scripted(t, func(request) (int, string) { return 200, `{"compatibilityLevel":"BACKWARD"}` })
	reg := prometheus.NewRegistry()
	c := New(Config{URLs: []string{"http://127.0.0.1:1", s.URL}, Observe: Metrics(reg, "relay")})
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 2 {
		t.Errorf("got %v, %v", families, err)
	}
}

func TestCheckFindings(t *testing.T) {
	t.Parallel()
	s, _ := scripted(t, func(r request) (int, string) {
		switch {
		case r.path == "/config":
			return 200, `{"compatibilityLevel":"BACKWARD"}`
		case strings.Contains(r.path, "good"):
			return 200, `{"is_compatible":true,"id":1}`
		case strings.HasPrefix(r.path, "/subjects/"):
			return 404, `{"error_code":40401}`
		}
		return 200, `{"is_compatible":false,"messages":["field gone"]}`
	})
	candidates := []Candidate{{"good", schemaText}, {"bad", schemaText}}
	for mustExist, want := range map[bool]string{false: "would refuse the schema: field gone", true: "auto_register is off"} {
		findings := Check(t.Context(), client(s.URL), candidates, mustExist)
		if len(findings) != 2 || findings[0].Level != cdc.LevelInfo || findings[1].Level != cdc.LevelError || !strings.Contains(findings[1].What, want) {
			t.Errorf("got %+v", findings)
		}
	}
	dead := New(Config{URLs: []string{"http://127.0.0.1:1"}, Attempts: 1})
	if findings := Check(t.Context(), dead, candidates, false); len(findings) != 1 || findings[0].Remedy == "" {
		t.Errorf("got %+v", findings)
	}
}
