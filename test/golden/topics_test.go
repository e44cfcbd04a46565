package golden

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// texts gives schemas as they were registered, by id. Safe for concurrent use.
type texts struct {
	url string

	mu   sync.Mutex // guards the following
	seen map[uint32]string
}

func newTexts(url string) *texts { return &texts{url: url, seen: map[uint32]string{}} }

func (s *texts) text(ctx context.Context, id uint32) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text := s.seen[id]; text != "" {
		return text, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/schemas/ids/%d", s.url, id), nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("schema %d: %s %s: %w", id, resp.Status, body, err)
	}
	var answer struct{ Schema string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", err
	}
	s.seen[id] = answer.Schema
	return answer.Schema, nil
}

// datum decodes a key or value as it stands in Kafka.
func (s *texts) datum(ctx context.Context, b []byte) (datum, error) {
	if b == nil {
		return datum{}, nil
	}
	if len(b) < 5 || b[0] != 0 {
		return datum{}, fmt.Errorf("bytes %x do not begin with a registry's header", b)
	}
	text, err := s.text(ctx, binary.BigEndian.Uint32(b[1:]))
	if err != nil {
		return datum{}, err
	}
	return newDatum(text, b[5:])
}

// written reads every committed record of the relay's topics: those that begin
// with its name, and its heartbeats. Its dead letters are among them.
func (s *services) written(t *testing.T, name string) map[string][]*record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(20*time.Millisecond), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	left := 0 // partitions that are not read to their end
	from := map[string]map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset == 0 || !strings.HasPrefix(o.Topic, name+".") && o.Topic != "__debezium-heartbeat."+name {
			return
		}
		if o.Partition != 0 {
			t.Fatalf("topic %s has partition %d; the corpus has one partition", o.Topic, o.Partition)
		}
		from[o.Topic] = map[int32]kgo.Offset{0: kgo.NewOffset().AtStart()}
		left++
	})
	client.AddConsumePartitions(from)
	topics := map[string][]*record{}
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, r := range p.Records {
				if r.Offset == ends[p.Topic][0].Offset-1 {
					left--
				}
				if !r.Attrs.IsControl() {
					topics[r.Topic] = append(topics[r.Topic], s.record(t, r))
				}
			}
		})
	}
	return topics
}

func (s *services) record(t *testing.T, r *kgo.Record) *record {
	t.Helper()
	where := fmt.Sprintf("%s offset %d", r.Topic, r.Offset)
	out := &record{topic: r.Topic}
	var err error
	if strings.HasSuffix(r.Topic, ".dead_letter") {
		if out.letter, err = deadLetter(r.Value); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		return out
	}
	if out.key, err = s.schemas.datum(t.Context(), r.Key); err != nil {
		t.Fatalf("%s: key: %v", where, err)
	}
	if out.value, err = s.schemas.datum(t.Context(), r.Value); err != nil {
		t.Fatalf("%s: value: %v", where, err)
	}
	for _, h := range r.Headers {
		out.headers = append(out.headers, header{h.Key, string(h.Value)})
	}
	return out
}

// deadLetter is what a dead letter of the relay says, without its position and
// the words of its reason.
func deadLetter(value []byte) (string, error) {
	var l struct {
		Schema, Table, Op, Column, Reason string
		Key, Before, After                json.RawMessage
	}
	if err := json.Unmarshal(value, &l); err != nil {
		return "", fmt.Errorf("dead letter %s: %w", value, err)
	}
	if l.Reason == "" {
		return "", fmt.Errorf("dead letter %s has no reason", value)
	}
	return fmt.Sprintf("dead letter: %s %s.%s key %s before %s after %s, column %s", l.Op, l.Schema, l.Table, l.Key, l.Before, l.After, l.Column), nil
}
