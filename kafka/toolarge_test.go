package kafka

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tailrace/tailrace/cdc"
)

// TestARecordTooLargeForItsTopicStops: trying again would end the same.
func TestARecordTooLargeForItsTopicStops(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, newBroker(t), "shop")
	if _, err := p.Topic(t.Context(), "shop.t"); err != nil {
		t.Fatal(err)
	}
	limit := "100000"
	changed, err := p.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, "shop.t")
	if err != nil || changed[0].Err != nil {
		t.Fatal(err, changed)
	}
	b, err := p.Batch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.Buf = make([]byte, 500_000)
	_, _ = rand.Read(b.Buf)
	b.Records = append(b.Records, cdc.Record{Topic: "shop.t", Value: len(b.Buf)})
	if err := p.Publish(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	err = p.Commit(t.Context(), progressAt(1))
	for _, part := range []string{"shop.t", "max.message.bytes=1114112", "max_row", "relay resume"} {
		if !cdc.Stopped(err) || !strings.Contains(err.Error(), part) {
			t.Errorf("%v, want a StopError with %q", err, part)
		}
	}
}
