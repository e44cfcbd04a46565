package kafka

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The client does not give records a second time. A poll whose time has run out between
// their coming and its return gives them, else nobody would ever see them.
func TestAPollThatRunsOutOfTimeKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := fetched(ctx, kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "a", Partitions: []kgo.FetchPartition{{Partition: 2, Records: []*kgo.Record{{Topic: "a", Partition: 2, Offset: 7}}}}}}}})
	if err != nil || len(got) != 1 || got[0].Messages[0].Offset != 7 {
		t.Errorf("got %v and %v, want the record", got, err)
	}
	if got, err = fetched(ctx, kgo.NewErrFetch(ctx.Err())); !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("without records: got %v and %v, want the context's error", got, err)
	}
}
