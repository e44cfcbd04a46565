package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/sinks"
)

// Config is what a Sink needs.
type Config struct {
	Pipeline string
	// Topic is the template of an output topic: {pipeline}, and {db} {name} {schema}
	// {table} {topic} of the change's target.
	Topic      string
	Tombstones bool   // behind deletes
	Version    string // source.version of what is written anew
}

// Topics knows the output topics. Its error may pass by itself, or is a
// *cdc.StopError.
type Topics interface {
	// Partitions makes the topic where it is missing, with as many partitions as
	// like has, and says how many it has. It answers from memory after the first time.
	Partitions(ctx context.Context, topic string, like int32) (int32, error)
}

// Sink makes records for one session. It is not safe for concurrent use.
type Sink struct {
	config   Config
	registry schema.Registrar
	topics   Topics
	encoders map[encoderID]*schema.Encoder
	plans    map[planID]*plan
	names    map[*sinks.Origin]string
}

type encoderID struct{ name, database string }

type planID struct {
	topic  string
	origin sinks.Origin
	shape  *sinks.Shape
}

// plan writes rows of one shape for one topic.
type plan struct {
	*schema.Plan
	table *cdc.Table
}

// maxPlans bounds how many schemas are held compiled.
const maxPlans = 512

// New makes a Sink. It checks the template.
func New(c Config, r schema.Registrar, t Topics) (*Sink, error) {
	if rest := placeholders(c.Pipeline, &sinks.Origin{}).Replace(c.Topic); c.Topic == "" || strings.ContainsAny(rest, "{}") {
		return nil, fmt.Errorf("topic %q: want a name with the placeholders {pipeline} {db} {name} {schema} {table} {topic}", c.Topic)
	}
	return &Sink{config: c, registry: r, topics: t, encoders: map[encoderID]*schema.Encoder{}, plans: map[planID]*plan{}, names: map[*sinks.Origin]string{}}, nil
}

func placeholders(pipeline string, o *sinks.Origin) *strings.Replacer {
	return strings.NewReplacer("{pipeline}", pipeline, "{db}", o.Database, "{name}", o.Name, "{schema}", o.Schema, "{table}", o.Table, "{topic}", o.Topic)
}

// topic is where changes of a target go.
func (s *Sink) topic(o *sinks.Origin) (string, error) {
	if name, ok := s.names[o]; ok {
		return name, nil
	}
	var b strings.Builder
	for _, r := range placeholders(s.config.Pipeline, o).Replace(s.config.Topic) {
		if r == '.' || r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			b.WriteRune(r)
		} else {
			b.WriteByte('_') // as the relay makes topics of tables
		}
	}
	name := b.String()
	if name == "." || name == ".." || len(name) > 249 {
		return "", &sinks.RecordError{Class: sinks.ClassMapping, Reason: fmt.Sprintf("%q is no name of a topic", name), Next: "see sink.kafka.topic"}
	}
	if len(s.names) >= maxPlans {
		clear(s.names)
	}
	s.names[o] = name
	return name, nil
}

// Append appends the records of a change that came from in. Bytes and headers of in are
// shared.
//
// Errors: a *sinks.RecordError about the change; a *cdc.StopError when it would be
// written to the topic that it comes from; any other may pass by itself.
func (s *Sink) Append(ctx context.Context, dst []sinks.Record, c *sinks.Change, in *sinks.Source) ([]sinks.Record, error) {
	topic, err := s.topic(c.Origin)
	if err != nil {
		return dst, err
	}
	if topic == in.Topic {
		return dst, &cdc.StopError{What: "the changes of a topic would be written to the topic itself", Pos: topic,
			Next: "give sink.kafka.topic another name: readers of the source would go back, and take what the pipeline made for the relay's"}
	}
	partitions, err := s.topics.Partitions(ctx, topic, in.Partitions)
	if err != nil {
		return dst, err
	}
	out := sinks.Record{Topic: topic, Timestamp: in.Timestamp, Key: in.Key, Value: in.Value, Headers: in.Headers}
	pos := c.Pos
	if !c.Same {
		if pos, err = s.derive(ctx, &out, c, in); err != nil {
			return dst, err
		}
	}
	out.Partition = partition(out.Key, c, in, partitions)
	dst = append(dst, out)
	if c.Op != cdc.OpDelete || !s.config.Tombstones || out.Key == nil {
		return dst, nil
	}
	grave := sinks.Record{Topic: topic, Partition: out.Partition, Timestamp: in.Timestamp, Key: out.Key}
	grave.Headers = replaced(out.Headers, tombstonePos(pos), "")
	return append(dst, grave), nil
}

// partition is that of the input where the row's key and the number of partitions
// are, whatever partitioner made it; else the relay's own.
func partition(key []byte, c *sinks.Change, in *sinks.Source, partitions int32) int32 {
	if c.SameKey && partitions == in.Partitions {
		return in.Partition
	}
	if key == nil {
		return cdc.Partition([]byte(c.Origin.String()), partitions)
	}
	return cdc.Partition(key[cdc.KeyHeaderBytes:], partitions)
}

// derive writes a change anew.
func (s *Sink) derive(ctx context.Context, out *sinks.Record, c *sinks.Change, in *sinks.Source) (pos string, err error) {
	p, err := s.plan(ctx, out.Topic, c)
	if err != nil {
		return "", err
	}
	e := &cdc.Envelope{Op: c.Op, After: c.Row, Before: c.Before, LSN: in.LSN, Now: in.Time.UnixNano(), Snapshot: snapshot(in.Snapshot),
		Tx: &cdc.Transaction{XID: uint32(in.TxID), CommitLSN: in.LSN, CommitTime: in.Time.UnixMicro()}}
	row := c.Row
	if c.Op == cdc.OpDelete {
		e.After = nil
		if e.Before == nil {
			e.Before = c.Row
		}
	}
	if !c.SameKey {
		if out.Key, err = p.AppendKey(nil, row); err != nil {
			return "", refused(err)
		}
		if len(out.Key) == 0 {
			out.Key = nil
		}
	}
	if out.Value, err = p.AppendValue(nil, e); err != nil {
		return "", refused(err)
	}
	pos = c.Pos
	if !c.Versioned && pos == text(in.Headers, cdc.HeaderPosition) {
		pos += "/0000" // it is not what the position names
	}
	out.Headers = replaced(in.Headers, pos, string(cdc.AppendUnavailable(nil, p.table, e.Before, e.After)))
	return pos, nil
}

// refused is an error of a plan about one row.
func refused(err error) error {
	var value *cdc.ValueError
	var fact *cdc.FactError
	if errors.As(err, &value) || errors.As(err, &fact) {
		return &sinks.RecordError{Class: sinks.ClassMapping, Reason: "the row has no form as a record: " + err.Error(), Next: "a step gave a value that its column's type does not have"}
	}
	return err
}

// plan compiles and registers the schemas of a shape, once.
func (s *Sink) plan(ctx context.Context, topic string, c *sinks.Change) (*plan, error) {
	id := planID{topic, *c.Origin, c.Shape}
	if p := s.plans[id]; p != nil {
		return p, nil
	}
	who := encoderID{c.Origin.Name, c.Origin.Database}
	encoder := s.encoders[who]
	if encoder == nil {
		encoder = schema.NewEncoder(schema.Settings{Name: who.name, Database: who.database, Version: s.config.Version, MoneyDigits: 2}, s.registry)
		s.encoders[who] = encoder
	}
	t := tableOf(c.Origin, c.Shape)
	made, err := encoder.Plan(ctx, t, topic)
	if err != nil {
		return nil, fmt.Errorf("schema of output topic %s: %w", topic, err)
	}
	if len(s.plans) >= maxPlans {
		clear(s.plans)
	}
	p := &plan{made, t}
	s.plans[id] = p
	return p, nil
}

// keyHeaders belong to the halves of a key change at the source.
var keyHeaders = [...]string{"__debezium.newkey", "__debezium.oldkey"}

// replaced are a record's headers with another position, and other columns that are
// not there.
func replaced(headers []sinks.Header, pos, unavailable string) []sinks.Header {
	out := make([]sinks.Header, 0, len(headers)+1)
	for _, h := range headers {
		switch h.Name {
		case cdc.HeaderPosition, cdc.HeaderUnavailable, keyHeaders[0], keyHeaders[1]:
		default:
			out = append(out, h)
		}
	}
	out = append(out, sinks.Header{Name: cdc.HeaderPosition, Value: []byte(pos)})
	if unavailable != "" {
		out = append(out, sinks.Header{Name: cdc.HeaderUnavailable, Value: []byte(unavailable)})
	}
	return out
}

// tombstonePos is the position of the tombstone behind a delete.
func tombstonePos(pos string) string {
	head, path := cdc.CutPath(pos)
	p, err := cdc.ParsePosition(head)
	if err != nil || p.Ordinal == 0 {
		return pos
	}
	p.Part = cdc.PartTombstone
	if path == "" {
		return p.String()
	}
	return p.String() + "/" + path
}

func text(headers []sinks.Header, name string) string {
	for _, h := range headers {
		if h.Name == name {
			return string(h.Value)
		}
	}
	return ""
}

// snapshot is the marker of a text.
func snapshot(text string) cdc.Marker {
	for m := cdc.NotSnapshot; m <= cdc.SnapshotLast; m++ {
		if m.String() == text {
			return m
		}
	}
	return cdc.NotSnapshot
}
