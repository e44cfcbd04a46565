package cdc

import (
	"context"
	"fmt"
	"time"
)

// HeartbeatTopic is where heartbeat records go, Debezium's name for it.
func HeartbeatTopic(name string) string { return "__debezium-heartbeat." + name }

// heartbeat writes a record at an interval, also while nothing else happens: its
// readers see that the line is alive, and that everything up to its position has
// been published. It rides in the Kafka transaction that carries progress; when
// none is open, it opens one, which is over at once. The interval is measured from
// the last record and is never shorter than Limits.Age, so that a small one cannot
// become a loop of commits.
type heartbeat struct {
	every int64 // nanoseconds; 0: none
	last  int64 // when the last one was written, nanoseconds since 1970
	plan  HeartbeatPlan
}

func (h *heartbeat) begin(c *Config, now time.Time) {
	h.every, h.last = 0, now.UnixNano()
	if c.Heartbeat > 0 {
		h.every = int64(max(c.Heartbeat, c.Limits.Age))
	}
}

// due tells whether it is time, now being nanoseconds since 1970.
func (h *heartbeat) due(now int64) bool { return h.every > 0 && now-h.last >= h.every }

// left is how long it is until then.
func (h *heartbeat) left() time.Duration {
	return time.Duration(h.last + h.every - time.Now().UnixNano())
}

// beat appends a heartbeat record to what is about to be committed, if it is
// time.
func (r *Relay) beat(ctx context.Context) error {
	h := &r.heartbeat
	now := time.Now().UnixNano()
	if !h.due(now) {
		return nil
	}
	topic := HeartbeatTopic(r.Config.Name)
	if h.plan == nil {
		if err := r.settle(ctx); err != nil { // the registry is asked while no Kafka transaction is open
			return err
		}
		plan, err := r.Encoder.Heartbeats(ctx, topic)
		if err != nil {
			return sideRefused(topic, err)
		}
		if _, err := r.Log.Topic(ctx, topic); err != nil {
			return fmt.Errorf("topic of heartbeats: %w", err)
		}
		h.plan = plan
	}
	if err := r.room(ctx, now); err != nil {
		return err
	}
	b := r.batch
	rec := Record{Topic: topic, Start: len(b.Buf), Bare: true}
	rec.Key = b.appended(h.plan.AppendKey)
	rec.Value = b.appended(func(dst []byte) []byte { return h.plan.AppendValue(dst, now) })
	pos := Position{Epoch: r.epoch, LSN: r.tracker.next.Confirmed}
	rec.Pos = b.appended(func(dst []byte) []byte { return pos.Append(dst) })
	b.Records = append(b.Records, rec)
	r.open.records++
	h.last = now
	return nil
}
