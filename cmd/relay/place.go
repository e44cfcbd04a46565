package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
)

// place is what --from and --to name: an LSN, or a time.
type place struct {
	text string
	lsn  cdc.LSN
	at   int64 // microseconds since 1970; 0: it is an LSN
}

// parsePlace reads an LSN (16/B374D848), a time (RFC 3339) or bookmark:NAME.
func parsePlace(text string, bookmarks []bookmarkRow) (place, error) {
	p := place{text: text}
	if name, ok := strings.CutPrefix(text, "bookmark:"); ok {
		i := slices.IndexFunc(bookmarks, func(b bookmarkRow) bool { return b.Name == name })
		if i < 0 {
			return p, ops.Usage(fmt.Errorf("%s: there is no such bookmark; relay slot bookmarks lists them", text))
		}
		if p.lsn = bookmarks[i].LSN; p.lsn == 0 {
			return p, fmt.Errorf("%s: its slot was never made; make it anew with relay slot bookmark %s", text, name)
		}
		return p, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		p.at = at.UnixMicro()
		return p, nil
	}
	var err error
	if p.lsn, err = cdc.ParseLSN(text); err != nil {
		return p, ops.Usage(fmt.Errorf("%q: want an LSN as in 16/B374D848, a time as in 2026-03-01T10:15:00Z, or bookmark:NAME", text))
	}
	return p, nil
}

// past is what is held of the past, and what is known of its places.
type past struct {
	holding postgres.Holding
	places  []cdc.Sample // of this history, by LSN
	live    bool         // the relay's own slot may be read as well: nothing is published
}

// newPast joins what the server has with what the relay remembers.
func newPast(h postgres.Holding, rem *kafka.Recollection) past {
	p := past{holding: h}
	if rem.Progress == nil {
		return p
	}
	all := slices.Concat(rem.Samples, rem.Recent)
	for _, b := range rem.Bookmarks {
		if b.Place != nil {
			all = append(all, *b.Place)
		}
	}
	p.places = rem.Progress.Places(all)
	return p
}

// slots are those that can be read from, the newest first.
func (p *past) slots() []postgres.Held {
	all := p.holding.All()
	if p.live && p.holding.Live != nil {
		all = append(all, *p.holding.Live)
	}
	all = slices.DeleteFunc(all, func(h postgres.Held) bool { return h.Lost() || h.Confirmed == 0 })
	slices.SortStableFunc(all, func(a, b postgres.Held) int { return cmp.Compare(b.Confirmed, a.Confirmed) })
	return all
}

// clock is the greatest commit time before an LSN; 0: it is not known.
func (p *past) clock(lsn cdc.LSN) int64 {
	for _, s := range p.places {
		if s.LSN == lsn {
			return s.Clock
		}
	}
	return 0
}

// holds is the newest slot that holds a place.
func (p *past) holds(at place) (postgres.Held, error) {
	var unsure *postgres.Held
	for _, h := range p.slots() {
		if at.at == 0 {
			if h.Confirmed <= at.lsn {
				return h, nil
			}
			continue
		}
		switch clock := p.clock(h.Confirmed); {
		case clock == 0:
			unsure = &h // the oldest of those
		case clock < at.at:
			return h, nil
		}
	}
	if unsure != nil && at.at != 0 {
		return *unsure, nil
	}
	return postgres.Held{}, p.gone(at)
}

// gone says that nothing holds a place, and what there is.
func (p *past) gone(at place) error {
	stop := &cdc.StopError{What: fmt.Sprintf("%s is no longer held", at.text)}
	slots := p.slots()
	const instead = "topics may still have the records, and an ad-hoc snapshot of the tables publishes them as they are now"
	if len(slots) == 0 {
		stop.Next = "no slot holds the past: set replay.window, or make bookmarks, for the next time; " + instead
		return stop
	}
	oldest := slots[len(slots)-1]
	stop.Next = fmt.Sprintf("the oldest position that is held is %s", oldest.Confirmed)
	if clock := p.clock(oldest.Confirmed); clock != 0 {
		stop.Next += ", " + time.UnixMicro(clock).UTC().Format(time.RFC3339Nano)
	}
	stop.Next += " (slot " + oldest.Name + "); " + instead
	return stop
}

// start is the last place in a slot from which everything at or after at is read.
func (p *past) start(h postgres.Held, at place) cdc.Sample {
	best := cdc.Sample{LSN: h.Confirmed}
	for _, s := range p.places {
		before := s.LSN <= at.lsn
		if at.at != 0 {
			before = s.Clock != 0 && s.Clock < at.at
		}
		if before && s.LSN >= best.LSN {
			best = s
		}
	}
	return best
}

// find turns a time into an LSN, by decoding forward from the last place before it.
// limit is the end of what counts: the result where no commit before it reaches the
// time.
func (p *past) find(ctx context.Context, r *replayer, at place, limit cdc.LSN) (cdc.LSN, error) {
	if at.at == 0 {
		return at.lsn, nil
	}
	h, err := p.holds(at)
	if err != nil {
		return 0, err
	}
	start := p.start(h, at)
	stream, err := r.open(ctx, h, start.LSN)
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	lsn, sure, err := cdc.FirstAt(ctx, cdc.NewStretch(stream, &cdc.History{}, r.live(), limit), start.Clock, at.at)
	switch {
	case errors.Is(err, cdc.ErrReplayed):
		return limit, nil
	case err != nil:
		return 0, err
	case !sure:
		return 0, p.gone(at)
	}
	return lsn, nil
}
