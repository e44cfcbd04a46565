package cdc

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// samplePrefix begins the keys of samples in the progress topic.
const samplePrefix = "sample/"

// sampleRing is how many samples the progress topic holds: the key of a sample is
// its number modulo this.
const sampleRing = 4096

// Sample is a place of the stream at which a replay can begin as the relay was
// there: a key sample/<n> of the progress topic. Samples also tell what time was
// published where.
//
// Commit times do not grow with LSNs: servers take the time before they write the
// commit record. So a time means the first commit at which the greatest commit time
// so far, Clock, reaches it.
type Sample struct {
	Version int    `json:"version"` // 1
	Number  uint64 `json:"number"`
	Epoch   uint32 `json:"epoch"`
	LSN     LSN    `json:"lsn"`   // everything that committed before it was confirmed
	Clock   int64  `json:"clock"` // the greatest commit time of that, microseconds since 1970; 0: unknown
	// Last and Message are what Progress has of that place: the first half of
	// source.sequence of what comes next.
	Last    *LastCommit `json:"last,omitempty"`
	Message LSN         `json:"message,omitempty"`
}

// Key is the sample's in the progress topic.
func (s *Sample) Key() string { return fmt.Sprintf("%s%04d", samplePrefix, s.Number%sampleRing) }

// Time is the clock of the sample.
func (s *Sample) Time() time.Time { return time.UnixMicro(s.Clock).UTC() }

// Sample is the place of a progress record.
func (p *Progress) Sample() Sample {
	return Sample{Version: 1, Epoch: p.EpochAt(p.Confirmed), LSN: p.Confirmed, Clock: p.Clock, Last: p.Last, Message: p.Message}
}

// Places are the samples that are places of this history, in its order. One of a
// history that was left says nothing about this one's LSNs.
func (p *Progress) Places(samples []Sample) []Sample {
	out := slices.DeleteFunc(slices.Clone(samples), func(s Sample) bool {
		return !slices.ContainsFunc(p.Epochs, func(e Epoch) bool {
			return e.Epoch == s.Epoch && e.SystemID == p.Current().SystemID
		}) || p.EpochAt(s.LSN) != s.Epoch
	})
	slices.SortStableFunc(out, func(a, b Sample) int {
		if a.LSN != b.LSN {
			if a.LSN < b.LSN {
				return -1
			}
			return 1
		}
		return 0
	})
	return out
}

// Places are the samples of the history that the relay goes on with.
func (r *Relay) Places() []Sample { return r.tracker.next.Places(r.Samples) }

// sampler has the loop write samples. They ride in Kafka transactions that carry
// progress, and never open one: where nothing is confirmed, no place is new.
type sampler struct {
	next uint64 // number of the next sample
	at   LSN    // of the last one
	when time.Time
}

func (s *sampler) begin(samples []Sample) {
	*s = sampler{}
	for _, known := range samples {
		if known.Number >= s.next {
			s.next, s.at = known.Number+1, known.LSN
		}
	}
}

// sample adds a sample to what is about to be committed with p, if it is time. It
// is told of when it is durable.
func (r *Relay) sample(ctx context.Context, p *Progress) (*Sample, error) {
	s := &r.samples
	now := time.Now()
	if r.Config.Sample == 0 || p.Confirmed == s.at || now.Sub(s.when) < r.Config.Sample {
		return nil, nil
	}
	taken := p.Sample()
	taken.Number = s.next
	value, err := json.Marshal(taken)
	if err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	if err := r.Log.Note(ctx, Note{Key: taken.Key(), Value: value}); err != nil {
		return nil, err
	}
	s.next, s.at, s.when = s.next+1, taken.LSN, now
	return &taken, nil
}
