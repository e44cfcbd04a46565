package oracle

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// record is one record of a topic, decoded.
type record struct {
	topic     string
	partition int32
	key       *datum // nil: null
	value     *datum
	headers   []leaf // name and text
}

// datum is a key or a value.
type datum struct {
	schema string // text
	leaves []leaf
}

// get is the text of a leaf, "" if there is none.
func (d *datum) get(path string) string {
	if d != nil {
		for _, l := range d.leaves {
			if l.path == path {
				return l.text
			}
		}
	}
	return ""
}

func (d *datum) String() string {
	if d == nil {
		return "null"
	}
	parts := make([]string, 0, len(d.leaves))
	for _, l := range d.leaves {
		parts = append(parts, l.path+"="+l.text)
	}
	return strings.Join(parts, " ")
}

func (r *record) op() string { return strings.Trim(r.value.get("op"), `"`) }

func (r *record) snapshot() bool {
	s := r.value.get("source.snapshot")
	return s != "" && s != `"false"`
}

// reader reads the topics of one side.
type reader struct {
	kafka    string // address
	registry string // URL of the Confluent API
	texts    map[uint32]string
	types    map[uint32]*avroType
}

func newReader(kafka, registry string) *reader {
	return &reader{kafka: kafka, registry: registry, texts: map[uint32]string{}, types: map[uint32]*avroType{}}
}

// read gives all committed records of the topics that keep accepts, by topic, those
// of one partition in their order.
func (r *reader) read(ctx context.Context, keep func(topic string) bool) (map[string][]*record, error) {
	found := map[string][]*record{}
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx)
	if err != nil {
		return nil, err
	}
	want := map[string]map[int32]kgo.Offset{}
	type place struct {
		topic     string
		partition int32
	}
	open := map[place]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if keep(o.Topic) && o.Offset > 0 {
			if want[o.Topic] == nil {
				want[o.Topic] = map[int32]kgo.Offset{}
			}
			want[o.Topic][o.Partition] = kgo.NewOffset().AtStart()
			open[place{o.Topic, o.Partition}] = o.Offset
		}
	})
	if len(want) == 0 {
		return found, nil
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(r.kafka), kgo.ConsumePartitions(want), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	for len(open) > 0 {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		var bad error
		fetches.EachRecord(func(k *kgo.Record) {
			if at := (place{k.Topic, k.Partition}); k.Offset+1 >= open[at] {
				delete(open, at)
			}
			if k.Attrs.IsControl() || bad != nil {
				return
			}
			rec, err := r.decode(ctx, k)
			if err != nil {
				bad = fmt.Errorf("%s, offset %d: %w", k.Topic, k.Offset, err)
			}
			found[k.Topic] = append(found[k.Topic], rec)
		})
		if bad != nil {
			return nil, bad
		}
	}
	return found, nil
}

func (r *reader) decode(ctx context.Context, k *kgo.Record) (*record, error) {
	rec := &record{topic: k.Topic, partition: k.Partition}
	for _, h := range k.Headers {
		rec.headers = append(rec.headers, leaf{h.Key, string(h.Value)})
	}
	if strings.HasSuffix(k.Topic, ".dead_letter") { // the relay's, in JSON
		rec.value = &datum{leaves: []leaf{{"", string(k.Value)}}}
		return rec, nil
	}
	var err error
	if rec.key, err = r.datum(ctx, k.Key); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if rec.value, err = r.datum(ctx, k.Value); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	return rec, nil
}

func (r *reader) datum(ctx context.Context, data []byte) (*datum, error) {
	if data == nil {
		return nil, nil
	}
	if len(data) < 5 || data[0] != 0 {
		return nil, fmt.Errorf("not in Confluent's form: % x", data[:min(len(data), 8)])
	}
	id := binary.BigEndian.Uint32(data[1:])
	if r.types[id] == nil {
		if err := r.load(ctx, id); err != nil {
			return nil, fmt.Errorf("schema %d: %w", id, err)
		}
	}
	leaves, err := decodeAvro(r.types[id], data[5:])
	return &datum{schema: r.texts[id], leaves: leaves}, err
}

func (r *reader) load(ctx context.Context, id uint32) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/schemas/ids/%d", r.registry, id), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var reply struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(body, &reply); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	t, err := parseAvro(reply.Schema)
	if err != nil {
		return err
	}
	r.texts[id], r.types[id] = reply.Schema, t
	return nil
}

// topics are the topics of both sides, sorted.
func topics(a, b map[string][]*record) []string {
	var list []string
	for t := range a {
		list = append(list, t)
	}
	for t := range b {
		if a[t] == nil {
			list = append(list, t)
		}
	}
	slices.Sort(list)
	return list
}
