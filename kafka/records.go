package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// The headers that name the other half of a key change (Debezium 3.7).
const (
	headerNewKey = "__debezium.newkey"
	headerOldKey = "__debezium.oldkey"
)

// perRecord is the most headers that a record has beside the constant ones and
// those that it names itself: position, unavailable columns, the other key.
const perRecord = 3

// fill makes the client's records over the arena, which is final now. Records and
// headers are slabs that live as long as the batch.
func (b *batch) fill(constant []kgo.RecordHeader) {
	n := len(b.Records)
	if cap(b.records) < n {
		b.records = make([]kgo.Record, n+n/4)
	}
	b.records = b.records[:n]
	room := n * (len(constant) + perRecord)
	for i := range b.Records {
		room += len(b.Records[i].Extra)
	}
	if cap(b.headers) < room {
		b.headers = make([]kgo.RecordHeader, room+room/4)
	}
	headers := b.headers[:0]
	now := time.Now()
	for i := range b.Records {
		r := &b.Records[i]
		first := len(headers)
		headers = b.appendHeaders(headers, r, constant)
		for _, h := range r.Extra {
			headers = append(headers, kgo.RecordHeader{Key: h.Name, Value: []byte(h.Value)})
		}
		b.records[i] = kgo.Record{
			Topic: r.Topic, Partition: r.Partition, Timestamp: now,
			Headers: headers[first:len(headers):len(headers)],
		}
		rec := &b.records[i]
		at := r.Start
		if r.Key > 0 {
			rec.Key = b.Buf[at : at+r.Key : at+r.Key]
		}
		at += r.Key
		if !r.Tombstone {
			rec.Value = b.Buf[at : at+r.Value : at+r.Value]
		}
	}
	b.headers = headers[:0]
}

// appendHeaders puts Debezium's headers first, in its order, then ours.
func (b *batch) appendHeaders(dst []kgo.RecordHeader, r *cdc.Record, constant []kgo.RecordHeader) []kgo.RecordHeader {
	at := r.Start + r.Key + r.Value
	part := func(n int) []byte {
		p := b.Buf[at : at+n : at+n]
		at += n
		return p
	}
	pos, unavailable, json := part(r.Pos), part(r.Unavailable), part(r.KeyJSON)
	switch r.Half {
	case cdc.OldHalf:
		dst = append(dst, kgo.RecordHeader{Key: headerNewKey, Value: json})
	case cdc.NewHalf:
		dst = append(dst, kgo.RecordHeader{Key: headerOldKey, Value: json})
	}
	if !r.Bare {
		dst = append(dst, constant...)
	}
	dst = append(dst, kgo.RecordHeader{Key: cdc.HeaderPosition, Value: pos})
	if len(unavailable) > 0 {
		dst = append(dst, kgo.RecordHeader{Key: cdc.HeaderUnavailable, Value: unavailable})
	}
	return dst
}
