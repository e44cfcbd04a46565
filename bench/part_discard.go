package main

import (
	"context"
	"flag"
	"log/slog"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/schema"
)

// runDiscard reads the tables as an initial snapshot does, makes the records that
// the relay would publish, and throws them away. It says how many there were.
func runDiscard(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("discard", flag.ContinueOnError)
	url := f.String("url", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	db := postgres.New(postgres.Config{URL: *url, Publication: "bench", MaxRow: 8 << 20, Include: []string{"*.*"}, Logger: log})
	defer db.Close()
	if _, err := db.Identify(ctx); err != nil {
		return err
	}
	rows, err := db.Rows(ctx)
	if err != nil {
		return err
	}
	defer rows.Close()
	d := &discard{}
	r := &cdc.Relay{
		Config: cdc.Config{
			Name: "bench", Topic: func(t *cdc.Table) string { return "bench." + t.String() }, Tombstones: true, MaxRow: 8 << 20, Limits: cdc.DefaultLimits(),
			Include: func(context.Context, *cdc.Table) (bool, error) { return true, nil },
		},
		Source: idle{}, Log: d, Observer: idle{}, Logger: log,
		Encoder: encoder{schema.NewEncoder(schema.Settings{Name: "bench", Database: "bench", Placeholder: "__debezium_unavailable_value"}, &ids{})},
	}
	r.Resume(cdc.Progress{Version: 1, Epochs: []cdc.Epoch{{Epoch: 1}}, Snapshot: &cdc.SnapshotRun{At: 1}}, 1)
	if err := r.Snapshot(ctx, rows, map[string]cdc.Cursor{}, func(string, uint64) {}); err != nil {
		return err
	}
	if err := say(d.records); err != nil {
		return err
	}
	return hold()
}

// discard is a log that keeps nothing.
type discard struct {
	batch   cdc.Batch
	records int64
}

func (*discard) Topic(context.Context, string) (int32, error) { return 1, nil }

func (*discard) Key(string, *cdc.Table) *cdc.KeyPin { return nil }

func (*discard) PinKey(context.Context, string, cdc.KeyPin) error { return nil }

func (d *discard) Batch(context.Context) (*cdc.Batch, error) { return &d.batch, nil }

func (d *discard) Publish(_ context.Context, b *cdc.Batch) error {
	d.records += int64(len(b.Records))
	b.Reset()
	return nil
}

func (*discard) Note(context.Context, cdc.Note) error       { return nil }
func (*discard) Commit(context.Context, cdc.Progress) error { return nil }

func (*discard) Rest() time.Duration { return 0 }

// ids is a registry that accepts everything.
type ids struct{ last int }

func (i *ids) Register(context.Context, string, string) (int, error) {
	i.last++
	return i.last, nil
}

// encoder is the relay's, without its second thoughts.
type encoder struct{ *schema.Encoder }

func (e encoder) Plan(ctx context.Context, t *cdc.Table, topic, _ string) (cdc.Plan, *cdc.Table, error) {
	p, err := e.Encoder.Plan(ctx, t, topic)
	return p, t, err
}

func (e encoder) Messages(ctx context.Context, topic string) (cdc.MessagePlan, error) {
	return e.Encoder.Messages(ctx, topic)
}

func (e encoder) Transactions(ctx context.Context, topic string) (cdc.TransactionPlan, error) {
	return e.Encoder.Transactions(ctx, topic)
}

func (e encoder) Heartbeats(ctx context.Context, topic string) (cdc.HeartbeatPlan, error) {
	return e.Encoder.Heartbeats(ctx, topic)
}

func (encoder) Widen(t *cdc.Table, fact *cdc.FactError) *cdc.Table {
	return schema.Widen(t, fact.Column)
}

// idle is a source without events, and an observer who notes nothing.
type idle struct{}

func (idle) Next(context.Context, time.Duration) (*cdc.Event, error) { return nil, nil }

func (idle) Resolve(context.Context, uint32, cdc.Position) (*cdc.Table, error) { return nil, nil }

func (idle) Refresh(context.Context, uint32) (*cdc.Table, error) { return nil, nil }

func (idle) Confirm(cdc.LSN)                 {}
func (idle) Changes(string, cdc.Op, int)     {}
func (idle) Filtered(string, int)            {}
func (idle) DeadLetter(string)               {}
func (idle) CommitToAck(time.Duration)       {}
func (idle) Confirmed(cdc.LSN)               {}
func (idle) Sampled(cdc.Sample)              {}
func (idle) Fallback(string, string, string) {}
func (idle) Heartbeat(time.Time)             {}
