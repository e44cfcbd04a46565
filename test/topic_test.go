package test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/schema/registry"
)

// record is one record of a topic, decoded by goavro.
type record struct {
	topic     string
	partition int32
	offset    int64
	pos       cdc.Position
	key       map[string]any // nil: no key
	value     map[string]any // nil: tombstone
	headers   map[string]string
	schemas   [2]int // the registry's ids of key and value; 0: there is none
}

func (r record) op() string {
	if r.value == nil {
		return "tombstone"
	}
	return r.value["op"].(string)
}

// row is the before or after image, unions unwrapped.
func (r record) row(side string) map[string]any {
	row, _ := unwrap(r.value[side]).(map[string]any)
	out := map[string]any{}
	for k, v := range row {
		out[k] = unwrap(v)
	}
	if row == nil {
		return nil
	}
	return out
}

// unwrap takes a union's value out of goavro's single-entry map.
func unwrap(v any) any {
	if m, ok := v.(map[string]any); ok && len(m) == 1 {
		for name, inner := range m {
			if goavroUnion(name) {
				return inner
			}
		}
	}
	return v
}

func goavroUnion(name string) bool {
	switch name {
	case "int", "long", "float", "double", "boolean", "string", "bytes", "array", "map":
		return true
	}
	return strings.Contains(name, ".")
}

// reader consumes committed records of all topics that match.
type reader struct {
	t      *testing.T
	client *kgo.Client
	schema *registry.Client
	codecs map[int]*goavro.Codec
	got    []record
}

func (s *stack) read(topics ...string) *reader {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.ConsumeTopics(topics...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(50*time.Millisecond), kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(200*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	reg := registry.New(registry.Config{URLs: []string{s.registry.URL()}})
	return &reader{t: s.t, client: client, schema: reg, codecs: map[int]*goavro.Codec{}}
}

// until polls until ok is satisfied with all records so far.
func (r *reader) until(ok func([]record) (bool, string)) []record {
	r.t.Helper()
	await(r.t, func() (bool, string) {
		r.poll(100 * time.Millisecond)
		return ok(r.got)
	})
	return r.got
}

// count polls until there are n records.
func (r *reader) count(n int) []record {
	r.t.Helper()
	return r.until(func(got []record) (bool, string) { return len(got) >= n, fmt.Sprintf("%d of %d records", len(got), n) })
}

// readAll reads a topic to the end of what is committed.
func (s *stack) readAll(topic string) []record {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.ConsumeTopics(topic), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(s.t.Context(), topic)
	if err != nil {
		s.t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	r := &reader{t: s.t, client: client, schema: registry.New(registry.Config{URLs: []string{s.registry.URL()}}), codecs: map[int]*goavro.Codec{}}
	for len(left) > 0 {
		ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			s.t.Fatalf("%s: %v; partitions and ends that are not read: %v", topic, err, left)
		}
		for rec := range fetches.RecordsAll() {
			if !rec.Attrs.IsControl() {
				r.got = append(r.got, r.decode(rec))
			}
			if rec.Offset+1 >= left[rec.Partition] {
				delete(left, rec.Partition)
			}
		}
	}
	return r.got
}

func (r *reader) poll(wait time.Duration) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), wait)
	defer cancel()
	fetches := r.client.PollFetches(ctx)
	if err := fetches.Err0(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		r.t.Fatal(err)
	}
	for rec := range fetches.RecordsAll() {
		r.got = append(r.got, r.decode(rec))
	}
}

func (r *reader) decode(rec *kgo.Record) record {
	r.t.Helper()
	out := record{topic: rec.Topic, partition: rec.Partition, offset: rec.Offset, headers: map[string]string{}}
	for _, h := range rec.Headers {
		out.headers[h.Key] = string(h.Value)
	}
	pos, err := cdc.ParsePosition(out.headers[cdc.HeaderPosition])
	if err != nil {
		r.t.Fatalf("%s/%d@%d: %v", rec.Topic, rec.Partition, rec.Offset, err)
	}
	out.pos = pos
	out.key, out.value = r.avro(rec.Key), r.avro(rec.Value)
	for i, b := range [][]byte{rec.Key, rec.Value} {
		if len(b) >= 5 {
			out.schemas[i] = int(binary.BigEndian.Uint32(b[1:]))
		}
	}
	return out
}

func (r *reader) avro(b []byte) map[string]any {
	r.t.Helper()
	if b == nil {
		return nil
	}
	id := int(binary.BigEndian.Uint32(b[1:]))
	codec := r.codecs[id]
	if codec == nil {
		text, err := r.schema.SchemaByID(r.t.Context(), id)
		if err != nil {
			r.t.Fatal(err)
		}
		if codec, err = goavro.NewCodec(bare(r.t, text)); err != nil {
			r.t.Fatalf("schema %d: %v\n%s", id, err, text)
		}
		r.codecs[id] = codec
	}
	v, rest, err := codec.NativeFromBinary(b[5:])
	if err != nil || len(rest) > 0 {
		r.t.Fatalf("decode with schema %d: %v (%d bytes left)", id, err, len(rest))
	}
	return v.(map[string]any)
}

// bare is a schema without defaults and logical types, which goavro would refuse
// or convert.
func bare(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	var strip func(any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			delete(v, "default")
			delete(v, "logicalType")
			for _, inner := range v {
				strip(inner)
			}
		case []any:
			for _, inner := range v {
				strip(inner)
			}
		}
	}
	strip(v)
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// streamRises fails unless each position of the stream comes once and rises in
// every partition, over whole topics of one relay.
func streamRises(t *testing.T, got []record) {
	t.Helper()
	last, seen := map[string]cdc.Position{}, map[cdc.Position]bool{}
	for _, r := range got {
		if r.pos.Ordinal == 0 {
			continue // a snapshot row can repeat after a crash
		}
		at := fmt.Sprintf("%s/%d", r.topic, r.partition)
		if prev, ok := last[at]; ok && r.pos.Compare(prev) <= 0 {
			t.Errorf("%s@%d: position %s does not rise over %s", at, r.offset, r.pos, prev)
		}
		if seen[r.pos] && (r.value == nil || r.op() != "t") { // a truncate has a copy in every partition
			t.Errorf("%s@%d: position %s comes twice", at, r.offset, r.pos)
		}
		last[at], seen[r.pos] = r.pos, true
	}
}
