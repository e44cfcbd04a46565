package kafka

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tailrace/tailrace/cdc"
)

// Decide writes what a person has accepted into the progress topic of a relay, for
// its next start to find. It takes no part in transactions and fences nobody: the
// relay may run meanwhile, stopped. The error is a StopError when the relay has no
// memory that the decision could be about.
func Decide(ctx context.Context, c PublisherConfig, decide func(cdc.Progress) cdc.Decision) (cdc.Decision, error) {
	rem, err := Recall(ctx, c)
	if err != nil {
		return cdc.Decision{}, err
	}
	if rem.Progress == nil {
		return cdc.Decision{}, &cdc.StopError{What: fmt.Sprintf("topic %s holds no progress: no relay of this name has published", ProgressTopic(c.Name)),
			Next: "look at name and kafka.brokers; a first start needs no decision"}
	}
	d := decide(*rem.Progress)
	value, err := json.Marshal(d)
	if err != nil {
		return d, fmt.Errorf("decision: %w", err)
	}
	return d, Jot(ctx, c, cdc.Note{Key: keyDecision, Value: value})
}
