package main

import (
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
)

// TestTheTrailingSlotBelongsWhereTheWindowBegins: by commit times, or further on where
// it would hold back more than replay.max.
func TestTheTrailingSlotBelongsWhereTheWindowBegins(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	k := &keeper{window: time.Hour, max: 1000}
	for i := range 10 { // LSN 1000 at 10:30, then 100 bytes every 10 minutes
		k.samples = append(k.samples, cdc.Sample{LSN: cdc.LSN(1000 + 100*i), Clock: now.Add(time.Duration(10*i-90) * time.Minute).UnixMicro()})
	}
	for _, c := range []struct {
		what                          string
		end, live, confirmed, restart cdc.LSN
		want                          cdc.LSN
	}{
		{"the last sample that is an hour old", 1900, 1900, 1000, 900, 1300},
		{"the relay's own slot is behind that", 1900, 1250, 1000, 900, 1200},
		{"too much is held back", 2500, 1900, 1000, 900, 1600}, // 900 from the end, and 100 before what is confirmed
		{"too much since the last sample", 4000, 1950, 1000, 900, 1950},
		{"a transaction holds the restart back", 1900, 1900, 1000, 100, 1800},
	} {
		h := postgres.Holding{End: c.end, Live: &postgres.Held{Confirmed: c.live},
			Trailing: &postgres.Held{Confirmed: c.confirmed, Restart: c.restart, Retained: int64(c.end - c.restart)}}
		if got := k.target(&h, now); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

// TestWhatHoldsThePastIsGivenUp: before it does harm.
func TestWhatHoldsThePastIsGivenUp(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := &keeper{window: time.Hour, walMax: 100, names: postgres.NewNames("shop", "s"), expires: map[string]expiry{
		"late": {at: now.Add(-time.Second), read: now}, "late, as read before": {at: now.Add(-time.Second), read: now.Add(-time.Hour)}, "early": {at: now.Add(time.Hour), read: now},
	}}
	fine := postgres.Held{Name: "early", Retained: 99, XMinAge: 9, FreezeAge: 20, Status: "reserved"}
	for what, c := range map[string]struct {
		change func(*postgres.Held)
		over   bool
	}{
		"nothing is wrong":               {func(*postgres.Held) {}, false},
		"as much as wal.max":             {func(h *postgres.Held) { h.Retained = 100 }, true},
		"an old catalog":                 {func(h *postgres.Held) { h.XMinAge = 10 }, true},
		"invalidated":                    {func(h *postgres.Held) { h.Status = "lost" }, true},
		"expired":                        {func(h *postgres.Held) { h.Name = "late" }, true},
		"expired, but made anew perhaps": {func(h *postgres.Held) { h.Name = "late, as read before" }, false},
		"its record is not read":         {func(h *postgres.Held) { h.Name = "new" }, false},
		"the trailing slot":              {func(h *postgres.Held) { h.Name = k.names.Trailing }, false},
	} {
		h := fine
		c.change(&h)
		if why := k.over(&h, now); (why != "") != c.over {
			t.Errorf("%s: %q", what, why)
		}
	}
	k.window = 0
	if why := k.over(&postgres.Held{Name: k.names.Trailing, FreezeAge: 20}, now); why == "" {
		t.Error("the trailing slot stays without a window")
	}
}
