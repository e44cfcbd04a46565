package cdc

import (
	"context"
	"errors"
	"strings"
)

// checker is what a test and a check of a property have in common.
type checker interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// world is a server, a log and a configuration that relays are started over.
type world struct {
	server   *server
	log      *topics
	encoder  *texts
	sums     *sums
	config   Config
	versions map[string]*Table // by the mark of alter
}

func texT() *Type { return &Type{OID: 25, Schema: "pg_catalog", Name: "text", Kind: KindBase} }

// tableOf makes a table whose first column is its key; the others are texts.
func tableOf(oid uint32, name string, columns ...string) *Table {
	t := &Table{OID: oid, Schema: "public", Name: name, Identity: IdentityDefault, Facts: true, Key: []int{0}}
	for i, c := range columns {
		t.Columns = append(t.Columns, Column{Name: c, Type: texT(), Modifier: -1, NotNull: i == 0, Replicated: i == 0})
	}
	return t
}

func newWorld(tables ...*Table) *world {
	w := &world{server: newServer(tables...), log: &topics{partitions: 3}, sums: newSums(), versions: map[string]*Table{}}
	w.encoder = &texts{log: w.log}
	w.watch()
	w.config = Config{
		Name: "shop", Topic: func(t *Table) string { return "shop." + t.String() },
		Include:    func(_ context.Context, t *Table) (bool, error) { return t.Name != "hidden", nil },
		Tombstones: true, MaxRow: 1 << 20, DeadLetter: "shop.dead_letter", Oversize: "shop.dead_letter", Limits: DefaultLimits(),
		Messages: func(prefix string) bool { return !strings.HasPrefix(prefix, "no") },
	}
	return w
}

// watch lets the server see what the log has.
func (w *world) watch() {
	w.server.open = func() bool { return w.log.begun }
	w.server.published = func() LSN {
		if w.log.progress == nil {
			return 0
		}
		return w.log.progress.Confirmed
	}
}

// altered is an event that puts t in force.
func (w *world) altered(t *Table) Event {
	ev := alter(t)
	w.versions[ev.Tx.Origin] = t
	return ev
}

// relay is a relay that goes on from what is durable.
func (w *world) relay() (*Relay, *session) {
	w.log.abort()
	s := w.server.stream(w.versions)
	r := &Relay{Config: w.config, Source: s, Encoder: w.encoder, Log: w.log, Observer: w.sums, Logger: discard, History: w.log.history(w.log.notes)}
	p := w.log.progress
	if p == nil {
		p = &Progress{Version: 1, Confirmed: w.server.confirmed, Epochs: []Epoch{{Epoch: 1}}}
	}
	r.Resume(*p, w.server.confirmed)
	return r, s
}

// run streams until everything is read, and gives what is durable.
func (w *world) run(t checker) []record {
	t.Helper()
	r, _ := w.relay()
	if err := r.Stream(context.Background()); !errors.Is(err, errRead) {
		t.Fatalf("the stream ended with: %v", err)
	}
	return w.log.records
}

// stops streams until the stream fails, as it must, with a StopError.
func (w *world) stops(t checker, with string) {
	t.Helper()
	r, _ := w.relay()
	err := r.Stream(context.Background())
	if !Stopped(err) || !strings.Contains(err.Error(), with) {
		t.Fatalf("the stream ended with %v, want a StopError with %q", err, with)
	}
}

// expect compares records with lines.
func expect(t checker, got []record, want ...string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i].String()
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("record %d:\n got %s\nwant %s", i, g, w)
		}
	}
}

// fresh is the same world before anything happened.
func (w *world) fresh() *world {
	n := newWorld()
	server := *w.server
	n.server, n.config, n.versions = &server, w.config, w.versions
	n.watch()
	n.log.partitions = w.log.partitions
	n.encoder.refuse = w.encoder.refuse
	return n
}
