package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/schema/registry"
)

// publish is the replay itself.
func (r *replayer) publish(ctx context.Context) error {
	q := r.flags.replayRequest
	if q.ID == "" {
		// To the millisecond: another replay of the same second is another one.
		q.ID = strings.Replace(time.Now().UTC().Format("20060102t150405.000"), ".", "", 1)
		r.flags.ID = q.ID
	}
	config := r.memory
	config.AtLeastOnce, config.TransactionalID = false, "tailrace."+r.settings.Name+".replay."+q.ID
	config.Replay = &kafka.ReplayConfig{ID: q.ID, Into: q.Into, Beside: []string{r.settings.DeadLetter.Topic, cdc.MessageTopic(r.settings.Name), cdc.TransactionTopic(r.settings.Name)}, Partitions: r.rem.Partitions, Keys: r.rem.Keys}
	publisher, err := kafka.NewPublisher(config)
	if err != nil {
		return err
	}
	defer publisher.Close()
	if err := publisher.Fence(ctx); err != nil {
		return err
	}
	rem, err := publisher.Read(ctx)
	if err != nil {
		return err
	}
	begun := rem.Progress != nil && rem.Request != nil
	if begun {
		if q, err = r.resume(rem.Request); err != nil {
			return err
		}
		if rem.Finished {
			return r.out.Text("replay %s is whole already: %s to %s\n", q.ID, q.From, q.To)
		}
		r.log.Info("going on with a replay that was cut off", "id", q.ID, "at", rem.Progress.Confirmed.String(), "to", q.To.String())
	} else if q, err = r.plan(ctx); err != nil {
		return err
	}
	config.Replay.Into = q.Into
	at := place{text: q.From.String(), lsn: q.From}
	if begun {
		at = place{text: rem.Progress.Confirmed.String(), lsn: rem.Progress.Confirmed}
	}
	h, err := r.past.holds(at)
	if err != nil {
		return err
	}
	var p cdc.Progress
	if begun {
		p = *rem.Progress
	} else if p, err = r.note(ctx, publisher, q, r.past.start(h, at)); err != nil {
		return err
	}
	relay := r.loop(q, publisher, r.encoder(q))
	r.log.Info("replaying", "id", q.ID, "from", q.From.String(), "to", q.To.String(), "slot", h.Name)
	err = r.read(ctx, relay, h, q, p)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("replay %s is cut off: relay replay --id %s goes on with it", q.ID, q.ID)
	case err != nil:
		return fmt.Errorf("replay %s: %w", q.ID, err)
	}
	return r.summary(q, config.Replay)
}

// resume is the request of the earlier run; what is asked for now must not differ.
func (r *replayer) resume(text []byte) (replayRequest, error) {
	var q replayRequest
	if err := json.Unmarshal(text, &q); err != nil {
		return q, fmt.Errorf("replay %s: its request cannot be read: %w", r.flags.ID, err)
	}
	f := &r.flags
	if f.Into != "" && f.Into != q.Into || len(f.Tables) > 0 && !slices.Equal(f.Tables, q.Tables) || f.Schema != "" && f.Schema != q.Schema {
		return q, ops.Usage(fmt.Errorf("replay %s was begun with other tables, topic or schema; give it another --id, or go on with --id alone", q.ID))
	}
	return q, nil
}

// plan is a new replay.
func (r *replayer) plan(ctx context.Context) (replayRequest, error) {
	if r.flags.from == "" {
		return replayRequest{}, ops.Usage(fmt.Errorf("there is no replay %s to go on with; say where it begins: --from", r.flags.ID))
	}
	if err := r.target(ctx); err != nil {
		return replayRequest{}, err
	}
	return r.stretch(ctx, r.rem.Progress.Confirmed)
}

// target refuses a topic that somebody reads as a source. Its readers would go back,
// a compacted one would keep the older values, and no position could be searched for
// any more.
func (r *replayer) target(ctx context.Context) error {
	into, s := r.flags.Into, r.settings
	if into == "" {
		return nil
	}
	_, pinned := r.rem.Partitions[into]
	side := []string{s.DeadLetter.Topic, cdc.MessageTopic(s.Name), cdc.TransactionTopic(s.Name), cdc.HeartbeatTopic(s.Name)}
	if pinned || kafka.IsDataTopic(s.Name, into) || slices.Contains(side, into) || slices.Contains(s.ownTopics(), into) || internalTopic.MatchString(into) {
		return ops.Usage(fmt.Errorf("--into %s: a source topic takes no replay: its readers would go back; name another one, or leave --into out", into))
	}
	empty, err := kafka.Empty(ctx, r.memory.Config, into)
	if err == nil && !empty {
		err = ops.Usage(fmt.Errorf("--into %s: the topic holds records; a replay goes into one of its own", into))
	}
	return err
}

var internalTopic = regexp.MustCompile(`^(tailrace\.|__)`)

// note makes durable what is replayed, before the first record.
func (r *replayer) note(ctx context.Context, log cdc.Log, q replayRequest, at cdc.Sample) (cdc.Progress, error) {
	p := r.begin(at)
	text, err := json.Marshal(q)
	if err != nil {
		return p, fmt.Errorf("request: %w", err)
	}
	if err := log.Note(ctx, cdc.Note{Key: cdc.KeyRequest, Value: text}); err != nil {
		return p, err
	}
	return p, log.Commit(ctx, p)
}

// encoder has the schemas that the relay registered, under its own subjects; what
// is not there, because the configuration has changed since, goes under subjects of
// the replay.
func (r *replayer) encoder(q replayRequest) cdc.Encoder {
	settings := r.settings.schemaSettings()
	settings.Database = r.system.Database
	client, _ := r.settings.Registry.shared().Client(nil) // the URL was checked with the configuration
	state := newStatus()
	sup := &supervisor{log: r.log, fallbacks: map[string]bool{}, metrics: newMetrics(ops.NewRegistry("relay"), state)}
	known := patient{client: client, status: state, log: ops.NewRepeats(r.log)}
	return encoder{schemas: schema.NewEncoder(settings, replayRegistrar{patient: known, id: q.ID, register: r.settings.Registry.AutoRegister}), supervisor: sup}
}

// replayRegistrar finds schemas where the relay has put them.
type replayRegistrar struct {
	patient
	id       string
	register bool
}

// Register returns the id of a schema under a subject of the relay's, or makes it one
// of the replay's.
func (r replayRegistrar) Register(ctx context.Context, subject, text string) (int, error) {
	id, err := r.patient.Register(ctx, subject, text)
	if r.register && errors.Is(err, registry.ErrNotFound) {
		own := r.patient
		own.register = true
		return own.Register(ctx, subject+".replay."+r.id, text)
	}
	return id, err
}
