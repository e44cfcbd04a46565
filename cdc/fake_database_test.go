package cdc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// database is what a Starter needs, over a world.
type database struct {
	world     *world
	slot      *Slot
	published map[string]uint32
	inUse     int // Stream fails so often
	dropped   bool
	intent    *Intent
	tails     func() ([]Tail, error)
	states    []string
	read      []string // tables
	session   *session
	history   *History
	position  LSN
	members   map[string]Member
}

func (d *database) Identify(context.Context) (System, error) {
	at := d.position
	if at == 0 {
		at = d.world.server.at
	}
	return System{ID: "7", Timeline: 1, Position: at, Database: "db"}, nil
}

func (d *database) Slot(context.Context) (*Slot, error) {
	if d.slot != nil {
		d.slot.Confirmed = d.world.server.confirmed
	}
	return d.slot, nil
}

func (d *database) Switches(context.Context, int32) ([]Switch, error) { return nil, nil }

func (d *database) DropSlot(context.Context) error { d.dropped = true; return nil }

func (d *database) Publication(context.Context) error {
	d.published["public.added"] = 9
	return nil
}

func (d *database) Published(context.Context) (map[string]uint32, error) {
	return maps.Clone(d.published), nil
}

func (d *database) Members(context.Context) (map[string]Member, error) { return d.members, nil }

func (d *database) CreateSlot(context.Context) (LSN, Rows, Stream, error) {
	return 0, nil, nil, errors.New("a slot is made")
}

func (d *database) Stream(context.Context, LSN) (Stream, error) {
	if d.inUse > 0 {
		d.inUse--
		return nil, ErrSlotInUse
	}
	d.session = d.world.server.stream(d.world.versions)
	return d.session, nil
}

func (d *database) Since(context.Context) (uint64, error) { return 1, nil }

func (d *database) Whole(context.Context, uint64) (map[string]uint32, error) { return nil, nil }

func (d *database) Remember(h *History) { d.history = h }

func (d *database) Rows(context.Context) (Rows, error) { return emptyTables{d}, nil }

func (d *database) Fence(context.Context) error { d.world.log.abort(); return nil }

func (d *database) Read(context.Context) (Remembered, error) {
	l := d.world.log
	rem := Remembered{Progress: l.progress, Intent: d.intent, Done: map[string]Cursor{}, History: l.history(l.notes)}
	for _, n := range l.notes {
		if name, ok := strings.CutPrefix(n.Key, snapshotPrefix); ok {
			var c Cursor
			if err := json.Unmarshal(n.Value, &c); err != nil {
				return rem, err
			}
			rem.Done[name] = c
		}
	}
	return rem, nil
}

func (d *database) Ends(context.Context) (Position, error) { return Position{}, nil }

func (d *database) Intend(context.Context, Intent) error { return nil }

func (d *database) Tails(context.Context) ([]Tail, error) {
	if d.tails != nil {
		return d.tails()
	}
	return tails(panicking{}, d.world.log.records), nil
}

// emptyTables is the snapshot of the published tables, which are empty.
type emptyTables struct{ *database }

func (e emptyTables) Tables() (out []*Table) {
	for _, name := range slices.Sorted(maps.Keys(e.published)) {
		out = append(out, tableOf(e.published[name], strings.TrimPrefix(name, "public."), "id"))
	}
	return out
}

func (e emptyTables) Since() uint64 { return 1 }

func (e emptyTables) XID() uint32 { return 0 }

func (e emptyTables) Rows(_ context.Context, i int, _ func([]Value) error, _ func() (LongRow, error)) error {
	e.read = append(e.read, e.Tables()[i].Name)
	return nil
}

func (e emptyTables) Close() {}

type panicking struct{}

func (panicking) Helper()                   {}
func (panicking) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (panicking) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// start is one start of a relay that adopts.
func (d *database) start() (*Relay, *session, error) {
	w := d.world
	r := &Relay{Config: w.config, Encoder: w.encoder, Log: w.log, Observer: w.sums, Logger: discard}
	st := &Starter{
		Database: d, Memory: d, Slot: "debezium", Publication: "dbz", Snapshot: true, Create: true, Adopt: true,
		State: func(state, reason string) { d.states = append(d.states, state+" "+reason) }, Report: func(string, uint64) {},
	}
	_, err := st.Start(context.Background(), r)
	return r, d.session, err
}
