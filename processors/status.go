package processors

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Status is what /status shows.
type Status struct {
	Name       string            `json:"name"`
	State      string            `json:"state"`
	Reason     string            `json:"reason"`
	Partitions []PartitionStatus `json:"partitions"`
	Rate       float64           `json:"rate"` // records per second that were passed lately
	Circuit    string            `json:"circuit"`
	CircuitFor float64           `json:"circuit_for"` // seconds until an open circuit is tried
	StateKeys  int               `json:"state_keys"`  // of what steps and the gate remember here
	StateBytes int               `json:"state_bytes"`
	LastError  string            `json:"last_error"`
	Version    string            `json:"version"` // filled in by the program
}

// PartitionStatus is one partition of this process. End and Lag are -1 until
// the brokers were asked.
type PartitionStatus struct {
	Topic      string  `json:"topic"`
	Partition  int32   `json:"partition"`
	Offset     int64   `json:"offset"` // the next to be applied
	End        int64   `json:"end"`
	Lag        int64   `json:"lag"`
	LagSeconds float64 `json:"lag_seconds"`
	Parked     int     `json:"parked"`
	Rate       float64 `json:"rate"`  // records per second
	State      string  `json:"state"` // restoring, running, retrying or stopped
	Error      string  `json:"error"`
	// Of what fails now.
	Tries        int       `json:"tries,omitempty"`
	FailingSince time.Time `json:"failing_since,omitzero"`
	RetryAt      time.Time `json:"retry_at,omitzero"`
	// Of the state that partitions with one number share, where the pipeline keeps it here.
	StateKeys  int `json:"state_keys"`
	StateBytes int `json:"state_bytes"`
}

// rate is how fast a partition goes, between two looks at it.
type rate struct {
	at    time.Time
	next  int64
	speed float64
}

// look notes how far the partition is.
func (r *rate) look(next int64, now time.Time) {
	if since := now.Sub(r.at).Seconds(); !r.at.IsZero() && since > 0 {
		r.speed = max(0, float64(next-r.next)/since)
	}
	r.at, r.next = now, next
}

// The states of a pipeline in this process.
const (
	stateStarting     = "starting"
	stateStreaming    = "streaming"
	stateStopped      = "stopped"
	stateDisconnected = "disconnected"
)

// disconnectedAfter is for how long a partition fails before that is the state:
// a single deadlock is none.
const disconnectedAfter = 5 * time.Second

// Health is state and reason, for /readyz.
func (r *Runtime) Health() (state, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.health()
}

func (r *Runtime) health() (state, reason string) {
	for _, err := range r.refused {
		return stateStopped, err.Error()
	}
	var failing string
	for _, o := range r.owners {
		o.mu.Lock()
		stopped, failure, since := o.stopped, o.failure, o.since
		o.mu.Unlock()
		if stopped != nil {
			return stateStopped, stopped.Error()
		}
		if failure != nil && time.Since(since) >= disconnectedAfter {
			failing = failure.Error()
		}
	}
	switch {
	case failing != "":
		return stateDisconnected, failing
	case r.claiming != nil:
		return stateDisconnected, r.claiming.Error()
	case r.log0 != nil:
		return stateDisconnected, r.log0.Error()
	case len(r.owners) > 0:
		return stateStreaming, ""
	case r.outside.err != nil && time.Since(r.outside.at) < outsideFor:
		return stateDisconnected, r.outside.err.Error()
	case r.joined:
		return stateStreaming, "the group has given no partition to this member"
	case len(r.waiting) > 0:
		return stateStarting, "waiting for topics that do not exist yet: " + strings.Join(r.waiting, ", ")
	}
	return stateStarting, "joining the group"
}

// Status describes this process.
func (r *Runtime) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{Name: r.config.Name, Circuit: circuitStates[r.circuit.current()], Partitions: []PartitionStatus{}}
	s.State, s.Reason = r.health()
	s.CircuitFor = r.circuit.rest().Seconds()
	s.StateKeys, s.StateBytes = r.stateSize()
	for tp, o := range r.owners {
		p := o.status()
		if t := o.task; t != nil {
			p.StateKeys, p.StateBytes = t.replica.Size()
			if p.State == "running" && r.config.InLog != nil && !t.ready.Load() {
				p.State = "restoring"
			}
		}
		s.Rate += p.Rate
		p.End, p.Lag = -1, -1
		if end, ok := r.ends[tp]; ok {
			p.End = max(end, p.Offset)
			p.Lag = p.End - p.Offset
		}
		if p.Error != "" {
			s.LastError = fmt.Sprintf("%s: %s", tp, p.Error)
		}
		s.Partitions = append(s.Partitions, p)
	}
	for tp, err := range r.refused {
		s.Partitions = append(s.Partitions, PartitionStatus{Topic: tp.Topic, Partition: tp.Partition, Offset: -1, End: -1, Lag: -1, State: stateStopped, Error: err.Error()})
		s.LastError = fmt.Sprintf("%s: %s", tp, err)
	}
	for _, err := range []error{r.claiming, r.log0} {
		if err != nil && s.LastError == "" {
			s.LastError = err.Error()
		}
	}
	slices.SortFunc(s.Partitions, func(a, b PartitionStatus) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return s
}

func (o *owner) status() PartitionStatus {
	oldest := o.oldestTime()
	o.mu.Lock()
	defer o.mu.Unlock()
	p := PartitionStatus{Topic: o.tp.Topic, Partition: o.tp.Partition, Offset: o.next, Parked: o.parkedRows, Rate: o.rate.speed, State: "running"}
	if !oldest.IsZero() {
		p.LagSeconds = max(0, time.Since(oldest).Seconds())
	}
	switch {
	case o.stopped != nil:
		p.State, p.Error = stateStopped, o.stopped.Error()
	case o.failure != nil:
		p.State, p.Error = "retrying", o.failure.Error()
		p.Tries, p.FailingSince, p.RetryAt = o.failures, o.since.UTC(), o.nextTry.UTC()
		if o.nextTry.IsZero() {
			p.RetryAt = time.Time{}
		}
	}
	return p
}

// oldestTime is the timestamp of the oldest record that is not committed.
func (o *owner) oldestTime() time.Time {
	o.mu.Lock()
	oldest := o.oldest
	o.mu.Unlock()
	if oldest.IsZero() {
		oldest = o.queue.oldest()
	}
	return oldest
}

func (r *Runtime) each(f func(*owner)) {
	r.mu.Lock()
	owners := make([]*owner, 0, len(r.owners))
	for _, o := range r.owners {
		owners = append(owners, o)
	}
	r.mu.Unlock()
	for _, o := range owners {
		f(o)
	}
}

func (r *Runtime) lagSeconds() float64 {
	var lag float64
	r.each(func(o *owner) { lag = max(lag, o.status().LagSeconds) })
	return lag
}

func (r *Runtime) lagRecords() float64 {
	var lag int64
	for _, p := range r.Status().Partitions {
		lag += max(0, p.Lag)
	}
	return float64(lag)
}

func (r *Runtime) parkedRows() float64 {
	n := 0
	r.each(func(o *owner) { n += o.status().Parked })
	return float64(n)
}

func (r *Runtime) inFlightBytes() float64 {
	n := 0
	r.each(func(o *owner) { n += o.queue.size() })
	return float64(n)
}

func (r *Runtime) stateKeys() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys, _ := r.stateSize()
	return float64(keys)
}

func (r *Runtime) stateBytes() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, bytes := r.stateSize()
	return float64(bytes)
}
