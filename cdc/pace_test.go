package cdc

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// arriving is a session whose events come at their times.
type arriving struct {
	*session
	begun time.Time
	at    []time.Duration // when each event comes; past the last: with it
}

func (a *arriving) Next(ctx context.Context, wait time.Duration) (*Event, error) {
	if a.next < len(a.events) {
		rest := a.at[min(a.next, len(a.at)-1)] - time.Since(a.begun)
		if rest > wait {
			<-time.After(wait)
			return nil, nil
		}
		<-time.After(rest)
	} else {
		<-time.After(wait)
	}
	return a.session.Next(ctx, wait)
}

// paced streams three transactions of one row each and gives the times of the commits.
// Events come at the given times: RELATION only with the first row.
func paced(t *testing.T, rest time.Duration, at ...time.Duration) []time.Duration {
	t.Helper()
	var commits []time.Duration
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(tableOf(1, "t", "id"))
		for _, id := range []string{"1", "2", "3"} {
			w.server.transaction(insert(1, id))
		}
		begun := time.Now()
		ended := begun.Add(-time.Hour)
		w.log.rest = func() time.Duration {
			if w.log.begun {
				return 0
			}
			return max(0, rest-time.Since(ended))
		}
		w.log.onCommit = func() {
			<-time.After(time.Until(ended.Add(rest)))
			commits = append(commits, time.Since(begun))
			ended = time.Now()
		}
		r, s := w.relay()
		r.Source = &arriving{s, begun, at}
		if err := r.Stream(t.Context()); !errors.Is(err, errRead) {
			t.Fatal(err)
		}
		if len(w.log.records) != 3 {
			t.Fatalf("%d records", len(w.log.records))
		}
	})
	return commits
}

func TestALoneTransactionIsCommittedAtOnce(t *testing.T) {
	t.Parallel()
	const begin, relation, row, commit = 0, 0, 0, 0
	got := paced(t, 0, begin, relation, row, commit, time.Second, time.Second, time.Second, 2*time.Second)
	l := DefaultLimits()
	if len(got) < 3 || got[len(got)-2] != time.Second+l.Between {
		t.Errorf("commits at %v, want one %v behind each end", got, l.Between)
	}
}

// A pause inside of a source transaction is not its end.
func TestAPauseInsideOfATransactionIsWaitedFor(t *testing.T) {
	t.Parallel()
	got := paced(t, 0, 0, 0, 0, 0, time.Second, time.Second, time.Second+DefaultLimits().Idle/2, 2*time.Second)
	if len(got) < 3 || got[len(got)-2] != time.Second+DefaultLimits().Idle/2+DefaultLimits().Between {
		t.Errorf("commits at %v", got)
	}
}

// What comes while the log needs its rest goes with the next transaction.
func TestWhatComesDuringTheRestIsNotLeftForLater(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	got := paced(t, 4*ms, 0, 0, 0, 0, ms, ms, ms, 3*ms)
	between := DefaultLimits().Between
	if want := []time.Duration{between, between + 4*ms}; !slices.Equal(got, want) {
		t.Errorf("commits at %v, want them at %v", got, want)
	}
}
