package main

import (
	"strings"
	"testing"
	"time"
)

// TestTheWALGuardSaysWhenItWillAct, by what has grown in the last minutes.
func TestTheWALGuardSaysWhenItWillAct(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	type at struct {
		minute  float64
		mib     int64
		limited int64 // wal.max in MiB
		drop    bool
	}
	for name, c := range map[string]struct {
		samples []at
		want    string
	}{
		"no limit":            {[]at{{0, 100, 0, false}}, "nothing bounds that (wal.max: 0)"},
		"nothing to go by":    {[]at{{0, 100, 1000, true}}, "it does not grow at present"},
		"steady":              {[]at{{0, 100, 1000, true}, {1, 200, 1000, true}, {2, 300, 1000, true}}, "gives the slot up (wal.at_max: drop_slot), which is in about 7 minutes"},
		"only said":           {[]at{{0, 100, 1000, false}, {1, 200, 1000, false}}, "says so louder (wal.at_max: warn), which is in about 8 minutes"},
		"at once":             {[]at{{0, 100, 1000, true}, {1, 950, 1000, true}}, "in about a minute"},
		"caught up meanwhile": {[]at{{0, 900, 1000, true}, {1, 100, 1000, true}, {2, 100, 1000, true}}, "it does not grow at present"},
		"the last minutes count": {[]at{{0, 0, 10_000, true}, {5, 5000, 10_000, true}, {10, 5000, 10_000, true}, {15, 5100, 10_000, true}},
			"in about 245 minutes"},
		"hardly at all": {[]at{{0, 100, 1 << 40 / mib, true}, {1, 101, 1 << 40 / mib, true}}, "months away"},
	} {
		var g guard
		var last at
		for _, s := range c.samples {
			g.growth.add(begin.Add(time.Duration(s.minute*float64(time.Minute))), s.mib*mib)
			g.max, g.drop, last = s.limited*mib, s.drop, s
		}
		if got := g.forecast(last.mib * mib); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s\nlacks %q", name, got, c.want)
		}
	}
}
