package main

import (
	"sync"
	"time"

	"github.com/tailrace/tailrace/cdc"
)

// status is what the running relay says of itself: on /status, on /readyz and in
// metrics. Safe for concurrent use.
type status struct {
	mu        sync.Mutex // guards the following
	state     string     // starting, standby, snapshot, streaming, disconnected, stopped
	reason    string
	away      map[string]string // dependency -> what is wrong with it, for those that do not answer
	lastError string
	guard     string // when the WAL guard will act
	confirmed cdc.LSN
	server    serverState
	samples   []walSample // of the server's LSN, oldest first, only what is not confirmed
	snapshot  snapshotState
	rate      rate
	trailing  *trailingState // nil: there is none
	bookmarks bookmarkState
	xminAge   int64 // of what trailing slot and bookmarks hold
}

// serverState is what PostgreSQL says of its WAL and our slot.
type serverState struct {
	LSN      cdc.LSN
	Retained int64 // bytes that the slot holds back
}

// walSample says that the server had written up to LSN at a time.
type walSample struct {
	at  time.Time
	lsn cdc.LSN
}

type snapshotState struct {
	Table string `json:"table"`
	Done  uint64 `json:"done"`
	Total int64  `json:"total"`
}

// report is the body of /status; its field names are public.
type report struct {
	Name          string         `json:"name"`
	State         string         `json:"state"`
	Reason        string         `json:"reason"`
	Slot          string         `json:"slot"`
	Publication   string         `json:"publication"`
	ConfirmedLSN  cdc.LSN        `json:"confirmed_lsn"`
	ServerLSN     cdc.LSN        `json:"server_lsn"`
	LagBytes      int64          `json:"lag_bytes"`
	LagSeconds    float64        `json:"lag_seconds"`
	RetainedBytes int64          `json:"retained_bytes"`
	Rate          float64        `json:"rate"`
	Snapshot      snapshotState  `json:"snapshot"`
	LastError     string         `json:"last_error"`
	Trailing      *trailingState `json:"trailing,omitempty"`
	Bookmarks     bookmarkState  `json:"bookmarks"`
	HeldXMinAge   int64          `json:"held_xmin_age"`
	Version       string         `json:"version"`
}

func newStatus() *status { return &status{state: "starting", away: map[string]string{}} }

// set changes the state; an empty reason clears it.
func (s *status) set(state, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.reason = state, reason
}

func (s *status) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastError = err.Error()
}

// depends notes whether a dependency answers, and tells whether that is news.
func (s *status) depends(name string, err error) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, was := s.away[name]
	if err == nil {
		delete(s.away, name)
		return was
	}
	s.away[name] = name + " does not answer: " + err.Error()
	return !was
}

// guarded notes when the WAL guard will act: what waits for Kafka or the registry
// fills the server's disk meanwhile.
func (s *status) guarded(forecast string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guard = forecast
}

// isAway tells whether a dependency does not answer.
func (s *status) isAway(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, away := s.away[name]
	return away
}

func (s *status) forecast() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guard
}

// current is the state as it counts for readiness: a relay that streams but
// whose broker or registry does not answer is disconnected.
func (s *status) current() (state, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.currentLocked()
}

func (s *status) currentLocked() (state, reason string) {
	if s.state == "stopped" {
		return s.state, s.reason
	}
	for _, name := range []string{"PostgreSQL", "Kafka", "registry"} {
		if why, ok := s.away[name]; ok {
			if name != "PostgreSQL" && s.guard != "" {
				why += "; " + s.guard
			}
			return "disconnected", why
		}
	}
	return s.state, s.reason
}

// saw takes a sample of the server's WAL.
func (s *status) saw(server serverState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = server
	s.samples = append(s.samples, walSample{at: time.Now(), lsn: server.LSN})
	if len(s.samples) > 4096 { // hours of lag: every other sample is enough
		kept := s.samples[:0]
		for i := 0; i < len(s.samples); i += 2 {
			kept = append(kept, s.samples[i])
		}
		s.samples = kept
	}
	s.trim()
}

func (s *status) confirm(lsn cdc.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confirmed = lsn
	s.trim()
}

// trim forgets samples that are confirmed.
func (s *status) trim() {
	i := 0
	for i < len(s.samples) && s.samples[i].lsn <= s.confirmed {
		i++
	}
	s.samples = s.samples[i:]
}

// report is a consistent copy.
func (s *status) report() report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := report{
		ConfirmedLSN: s.confirmed, ServerLSN: s.server.LSN, RetainedBytes: s.server.Retained,
		Snapshot: s.snapshot, LastError: s.lastError, Rate: s.rate.perSecond(time.Now()),
		Trailing: s.trailing, Bookmarks: s.bookmarks, HeldXMinAge: s.xminAge,
	}
	r.State, r.Reason = s.currentLocked()
	r.ServerLSN = max(r.ServerLSN, r.ConfirmedLSN) // the sample may be older
	if s.server.LSN > s.confirmed && s.confirmed > 0 {
		r.LagBytes = int64(s.server.LSN - s.confirmed)
	}
	if len(s.samples) > 0 && r.LagBytes > 0 {
		r.LagSeconds = time.Since(s.samples[0].at).Seconds()
	}
	return r
}

func (s *status) progress(table string, rows uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot.Table, s.snapshot.Done = table, rows
}

func (s *status) counted(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rate.add(time.Now(), n)
}

// rate counts changes in two windows of ten seconds: the one before and the
// current one.
type rate struct {
	start     time.Time
	now, last int
	had       bool
}

const rateWindow = 10 * time.Second

func (r *rate) roll(now time.Time) {
	switch since := now.Sub(r.start); {
	case since >= 2*rateWindow:
		r.start, r.now, r.last, r.had = now, 0, 0, !r.start.IsZero()
	case since >= rateWindow:
		r.start, r.last, r.now, r.had = r.start.Add(rateWindow), r.now, 0, true
	}
}

func (r *rate) add(now time.Time, n int) {
	r.roll(now)
	r.now += n
}

func (r *rate) perSecond(now time.Time) float64 {
	r.roll(now)
	part := now.Sub(r.start).Seconds()
	if !r.had {
		return float64(r.now) / max(part, 1)
	}
	return float64(r.now+r.last) / (part + rateWindow.Seconds())
}
