package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
)

// keeper looks after what holds the past: the trailing slot, which it keeps
// replay.window behind, and bookmarks. Both hold WAL back and keep rows of the
// catalog from being vacuumed, so it gives them up before they do harm:
//
//  1. at wal.max, whatever wal.at_max says, since they always hold back as much as
//     the relay's own slot or more; so they go first;
//  2. when what they keep of the catalog is half as old as the server lets anything
//     become before it freezes by force (autovacuum_freeze_max_age);
//  3. bookmarks when they expire; the trailing slot when replay.window is 0s;
//  4. when the server has invalidated them: they hold nothing any more.
//
// A trailing slot that is gone is made anew, as a copy of the relay's own: the
// window begins there. At replay.max it is moved on, so the window is shorter; where
// that does not help, because a transaction that was open keeps its restart_lsn
// back, it is made anew.
//
// What can go wrong:
//
//   - Killed at any step: each look begins with what the server has. A slot's name says
//     that it is ours (postgres.Names).
//   - A bookmark whose record nobody has read yet: the record is written before the
//     slot is made, so it is read when a slot of an unknown name is seen. One without
//     record is held for replay.bookmark_ttl from then on.
//   - A standby of this relay does the same: giving up twice is giving up once. It moves
//     and makes nothing, since only the relay that streams knows the samples.
//   - A server whose clock was ahead for a while: the window is measured in commit times,
//     so the slot stays longer than it needs to; replay.max and wal.max bound that.
//
// giveUp is called by watch and move by a probe of its own, over their connections:
// moving a slot on takes as long as decoding does.
type keeper struct {
	postgres postgres.Config
	names    postgres.Names
	window   time.Duration
	max      int64 // replay.max
	walMax   int64
	ttl      time.Duration
	status   *status
	recall   func(context.Context) (map[string]cdc.Bookmark, error)
	log      *slog.Logger
	repeats  *ops.Repeats
	fresh    chan []string // slots of bookmarks whose records nobody has read

	mu      sync.Mutex        // guards the following
	samples []cdc.Sample      // of the history that is streamed, by LSN
	expires map[string]expiry // of bookmarks, by slot
}

// expiry is when a bookmark expires. It was released and made again since, perhaps,
// under the same name, so what is over is read once more before it is believed.
type expiry struct {
	at, read time.Time
	asked    bool // for being read once more
}

// keepEvery is how often the trailing slot is looked after.
const keepEvery = 2 * time.Second

// longestStep bounds how far a slot is moved on at once: decoding that takes a
// second or so, and a probe has five.
const longestStep = 128 << 20

// sampled notes where the stream stood. Safe for concurrent use.
func (k *keeper) sampled(s cdc.Sample) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.samples = append(k.samples, s)
	if len(k.samples) > 8192 {
		k.samples = slices.Clone(k.samples[4096:])
	}
}

// remember replaces the samples by those of a session's memory.
func (k *keeper) remember(samples []cdc.Sample) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.samples = samples
}

// sampleEvery is the time between samples: a replay reads on from one, so a finer
// one saves reading, and the window is kept as exactly as they are.
func sampleEvery(window time.Duration) time.Duration {
	if window == 0 {
		return 5 * time.Minute
	}
	return min(max(window/256, time.Second), 5*time.Minute)
}

// look asks the server and tells the status.
func (k *keeper) look(ctx context.Context, conn *pgx.Conn) (postgres.Holding, error) {
	h, err := postgres.ReadHeld(ctx, conn, k.names)
	if err != nil {
		return h, err
	}
	var since time.Time
	if h.Trailing != nil {
		since = k.timeOf(h.Trailing.Confirmed)
	}
	k.status.holds(h, since)
	return h, nil
}

// timeOf is the greatest commit time of what committed before an LSN, as far as
// samples tell.
func (k *keeper) timeOf(lsn cdc.LSN) (at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.samples {
		if s.LSN <= lsn && s.Clock != 0 {
			at = s.Time()
		}
	}
	return at
}

// giveUp gives up what must be, and tells whether there was anything.
func (k *keeper) giveUp(ctx context.Context, conn *pgx.Conn) (gave bool, err error) {
	h, err := k.look(ctx, conn)
	if err != nil {
		return false, err
	}
	k.learn(h.Bookmarks)
	now := time.Now()
	for _, held := range h.All() {
		why := k.over(&held, now)
		if why == "" {
			continue
		}
		if err := postgres.GiveUp(ctx, conn, held.Name); err != nil {
			return gave, err
		}
		gave = true
		k.log.Warn("a slot that held the past is given up", "slot", held.Name, "lsn", held.Confirmed.String(), "retained", ops.Bytes(held.Retained), "why", why)
	}
	return gave, nil
}

// over is why a slot is given up; "" when it is not.
func (k *keeper) over(held *postgres.Held, now time.Time) string {
	k.mu.Lock()
	expires, known := k.expires[held.Name]
	over := known && now.After(expires.at)
	if over && !expires.read.After(expires.at) {
		over, expires.asked = false, true
		k.expires[held.Name] = expires
	}
	k.mu.Unlock()
	switch {
	case held.Lost():
		return "the server has invalidated it (max_slot_wal_keep_size, or an idle timeout)"
	case k.walMax > 0 && held.Retained >= k.walMax:
		return "it holds back as much WAL as wal.max allows, " + ops.Bytes(k.walMax)
	case held.XMinAge >= held.FreezeAge/2:
		return fmt.Sprintf("it keeps catalog rows of %s transactions ago from being vacuumed, half of autovacuum_freeze_max_age", ops.Count(held.XMinAge))
	case held.Name == k.names.Trailing && k.window == 0:
		return "replay.window is 0s"
	case over:
		return "the bookmark has expired (replay.bookmark_ttl)"
	}
	return ""
}

// learn asks for the records of bookmarks, where one is new.
func (k *keeper) learn(bookmarks []postgres.Held) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var fresh []string
	there := map[string]bool{}
	for _, h := range bookmarks {
		there[h.Name] = true
		if e, known := k.expires[h.Name]; !known || e.asked {
			fresh = append(fresh, h.Name)
		}
	}
	maps.DeleteFunc(k.expires, func(slot string, _ expiry) bool { return !there[slot] })
	if len(fresh) == 0 {
		return
	}
	select {
	case k.fresh <- fresh:
	default: // it is being asked for
	}
}

// read reads the records of bookmarks when they are asked for, until ctx ends. That
// takes as long as Kafka does, so nobody waits for it.
func (k *keeper) read(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case slots := <-k.fresh:
			bounded, cancel := context.WithTimeout(ctx, time.Minute)
			records, err := k.recall(bounded)
			cancel()
			if err != nil {
				k.repeats.Log(ctx, slog.LevelWarn, "bookmarks", "the records of bookmarks cannot be read, so none expires yet", slog.String("error", err.Error()))
				continue
			}
			k.learned(slots, records)
		}
	}
}

func (k *keeper) learned(slots []string, records map[string]cdc.Bookmark) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for _, name := range slots {
		e, known := k.expires[name]
		if !known {
			e.at = now.Add(k.ttl)
		}
		for _, b := range records {
			if b.Slot == name {
				e.at = b.Expires
			}
		}
		e.read, e.asked = now, false
		k.expires[name] = e
	}
}

// move makes the trailing slot, or moves it on.
func (k *keeper) move(ctx context.Context, conn *pgx.Conn) error {
	if state, _ := k.status.current(); state != ops.StateStreaming {
		return nil
	}
	h, err := k.look(ctx, conn)
	if err != nil || h.Live == nil || h.Live.Lost() || h.Live.Confirmed == 0 {
		return err
	}
	for _, held := range h.All() {
		if h.Live.Failover && !held.Failover {
			if err := postgres.SetFailover(ctx, k.postgres, held.Name); err != nil {
				return err
			}
		}
	}
	t := h.Trailing
	switch {
	case k.window == 0:
		return nil
	case t == nil:
		return k.make(ctx, conn, &h)
	}
	to := min(k.target(&h, time.Now()), h.Live.Confirmed)
	switch {
	case to > t.Confirmed:
		return postgres.Advance(ctx, conn, t.Name, min(to, t.Confirmed+longestStep))
	case k.max > 0 && t.Retained >= k.max && t.Confirmed == h.Live.Confirmed && t.Restart < h.Live.Restart:
		k.log.Warn("the trailing slot is made anew: it holds back more than replay.max and moving it on does not help", "slot", t.Name, "retained", ops.Bytes(t.Retained))
		return postgres.GiveUp(ctx, conn, t.Name)
	}
	return nil
}

// target is where the trailing slot belongs; not before where it stands, as far as
// the caller goes.
func (k *keeper) target(h *postgres.Holding, now time.Time) cdc.LSN {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := h.Trailing
	edge := now.Add(-k.window).UnixMicro()
	var to cdc.LSN
	for _, s := range k.samples {
		if s.Clock != 0 && s.Clock <= edge && s.LSN <= h.Live.Confirmed {
			to = max(to, s.LSN)
		}
	}
	if k.max == 0 || t.Retained < k.max {
		return to
	}
	// What is held back begins before what is confirmed, by as much as now.
	room := cdc.LSN(max(0, k.max-int64(t.Confirmed-t.Restart)))
	for _, s := range k.samples {
		if s.LSN > t.Confirmed && s.LSN+room >= h.End {
			return max(to, s.LSN)
		}
	}
	return h.Live.Confirmed
}

// make makes the trailing slot where the relay's own stands, unless that is in
// danger already, or slots are short.
func (k *keeper) make(ctx context.Context, conn *pgx.Conn, h *postgres.Holding) error {
	wait := func(why string) error {
		k.repeats.Log(ctx, slog.LevelWarn, "trailing", "the trailing slot is not made", slog.String("why", why))
		return nil
	}
	if k.walMax > 0 && h.Live.Retained >= k.walMax/2 || k.max > 0 && h.Live.Retained >= k.max {
		return wait("the relay's slot holds back " + ops.Bytes(h.Live.Retained) + " already")
	}
	if err := spareSlots(ctx, conn); err != nil {
		return wait(err.Error())
	}
	at, err := postgres.Hold(ctx, k.postgres, conn, h.Live.Name, k.names.Trailing, h.Live.Failover)
	if err != nil {
		return err
	}
	k.log.Info("the trailing slot is made; a replay can go back to here", "slot", k.names.Trailing, "lsn", at.String())
	return nil
}

// spareSlots is an error when another slot would leave too few.
func spareSlots(ctx context.Context, conn *pgx.Conn) error {
	free, most, err := postgres.FreeSlots(ctx, conn)
	if err == nil && free <= postgres.SpareSlots {
		err = fmt.Errorf("%d of %d replication slots are free, and %d have to stay so; release a bookmark, or raise max_replication_slots", free, most, postgres.SpareSlots)
	}
	return err
}

// failed says what the probe met that looks after the trailing slot.
func (k *keeper) failed(ctx context.Context, err error) {
	k.repeats.Log(ctx, slog.LevelWarn, "move", "the trailing slot cannot be looked after", slog.String("slot", k.names.Trailing), slog.String("error", err.Error()))
}
