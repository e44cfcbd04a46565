package cdc

import (
	"strings"
	"testing"
)

// TestStartJudgesHistories has a row for each line of the table of what a start can
// find, with what the memory held and what the server is.
func TestStartJudgesHistories(t *testing.T) {
	t.Parallel()
	memory := func(published, confirmed LSN) Progress {
		return Progress{SystemID: "A", Database: "shop", Slot: "s", Confirmed: confirmed, Last: &LastCommit{CommitLSN: published - 10, EndLSN: published},
			Epochs: []Epoch{{Epoch: 3, SystemID: "A", Timeline: 1, From: 100}}}
	}
	server := func(timeline int32, position LSN) System {
		return System{ID: "A", Timeline: timeline, Position: position, Database: "shop"}
	}
	slot := func(confirmed LSN) *Slot { return &Slot{Name: "s", Confirmed: confirmed} }
	left := func(at LSN) []Switch { return []Switch{{Timeline: 1, At: at}} }
	for name, c := range map[string]struct {
		memory    Progress
		server    System
		slot      *Slot
		switches  []Switch
		trouble   Trouble
		why       string
		epoch     uint32
		confirmed LSN
	}{
		"same system and timeline, server at or after":   {memory(500, 500), server(1, 900), slot(400), nil, NoTrouble, "", 3, 500},
		"the server's end is exactly what was published": {memory(500, 500), server(1, 500), slot(500), nil, NoTrouble, "", 3, 500},
		"confirmed by keepalives beyond a crash's end":   {memory(500, 700), server(1, 600), slot(400), nil, NoTrouble, "", 3, 700},
		"failover without loss":                          {memory(500, 500), server(2, 900), slot(400), left(500), NoTrouble, "", 4, 500},
		"failover, keepalives beyond the switch":         {memory(500, 600), server(2, 900), slot(400), left(550), NoTrouble, "", 4, 550},
		"two failovers at once":                          {memory(500, 500), server(3, 900), slot(400), []Switch{{1, 510}, {2, 700}}, NoTrouble, "", 4, 500},
		"failover that lost what was published":          {memory(500, 500), server(2, 900), slot(400), left(499), Diverged, "left timeline 1 at 0/1F3", 3, 500},
		"a timeline that does not come from ours":        {memory(500, 500), server(2, 900), slot(400), nil, Diverged, "does not come from timeline 1", 3, 500},
		"back on an older timeline":                      {memory(500, 500), server(0, 900), slot(400), nil, Diverged, "does not come from", 3, 500},
		"storage rolled back":                            {memory(500, 500), server(1, 499), slot(400), nil, Diverged, "rolled back", 3, 500},
		"another system":                                 {memory(500, 500), System{ID: "B", Timeline: 1, Position: 900, Database: "shop"}, slot(400), nil, OtherSystem, "another system (B)", 3, 500},
		"slot missing":                                   {memory(500, 500), server(1, 900), nil, nil, Gap, "missing", 3, 500},
		"slot missing after a failover":                  {memory(500, 500), server(2, 900), nil, left(500), Gap, "missing", 4, 500},
		"slot invalidated":                               {memory(500, 500), server(1, 900), &Slot{Name: "s", Lost: "WAL removed"}, nil, Gap, "WAL removed", 3, 500},
		"slot ahead of progress":                         {memory(500, 500), server(1, 900), slot(501), nil, Gap, "ahead", 3, 500},
	} {
		v, err := judge(c.memory, c.memory.Published(), c.server, c.slot, func() ([]Switch, error) { return c.switches, nil })
		if err != nil {
			t.Fatal(err)
		}
		if v.trouble != c.trouble || v.progress.Current().Epoch != c.epoch || v.progress.Confirmed != c.confirmed {
			t.Errorf("%s: trouble %d, epoch %d, confirmed %s; want %d, %d, %s", name, v.trouble, v.progress.Current().Epoch, v.progress.Confirmed, c.trouble, c.epoch, c.confirmed)
		}
		if (v.why == nil) != (c.why == "") || v.why != nil && !strings.Contains(v.why.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, v.why, c.why)
		}
		if v.why != nil && (v.why.Next == "" || v.why.Trouble != c.trouble) {
			t.Errorf("%s: no next step in %v", name, v.why)
		}
	}
}

func TestPartOfATransactionIsPublishedToo(t *testing.T) {
	t.Parallel()
	p := Progress{Last: &LastCommit{EndLSN: 500}, Partial: &Partial{CommitLSN: 700}}
	if got := p.Published(); got != 700 {
		t.Errorf("published %s, want 0/2BC", got)
	}
}

// The epoch of a change is that of the interval which holds its commit LSN, also
// when it is delivered again after the switch.
func TestEpochIsThatOfTheCommit(t *testing.T) {
	t.Parallel()
	p := Progress{Epochs: []Epoch{
		{Epoch: 1, SystemID: "old", From: 9000}, // LSNs of another system say nothing here
		{Epoch: 2, SystemID: "A", From: 100},
		{Epoch: 3, SystemID: "A", From: 500},
		{Epoch: 4, SystemID: "A", From: 300}, // rolled back below 500, and read again
		{Epoch: 5, SystemID: "A", From: 800},
	}}
	for commit, want := range map[LSN]uint32{50: 2, 299: 2, 300: 4, 600: 4, 799: 4, 800: 5, 99999: 5} {
		if got := p.EpochAt(commit); got != want {
			t.Errorf("epoch at %s: %d, want %d", commit, got, want)
		}
	}
}
