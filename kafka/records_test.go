package kafka

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// TestHeadersInTheirOrder: Debezium's first, none of its context on records that
// belong to no table, and the position on every one.
func TestHeadersInTheirOrder(t *testing.T) {
	b := &batch{}
	b.Buf = []byte("KKKVVVPPUJ")
	all := cdc.Record{Key: 3, Value: 3, Pos: 2, Unavailable: 1, KeyJSON: 1, Half: cdc.OldHalf, Extra: []cdc.Header{{Name: "e1", Value: "1"}, {Name: "e2", Value: "2"}, {Name: "e3", Value: "3"}}}
	bare := cdc.Record{Key: 3, Value: 3, Pos: 2, Bare: true}
	plain := cdc.Record{Key: 3, Value: 3, Pos: 2}
	b.Records = []cdc.Record{all, bare, plain, all}
	constant := []kgo.RecordHeader{{Key: "c1", Value: []byte("x")}, {Key: "c2", Value: []byte("y")}}
	b.fill(constant)
	whole := headerNewKey + "=J c1=x c2=y tailrace.pos=PP tailrace.unavailable=U e1=1 e2=2 e3=3"
	for i, want := range []string{whole, "tailrace.pos=PP", "c1=x c2=y tailrace.pos=PP", whole} {
		var got []string
		for _, h := range b.records[i].Headers {
			got = append(got, fmt.Sprintf("%s=%s", h.Key, h.Value))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("record %d: %s, want %s", i, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { b.fill(constant) }); n > 6 { // the values of six extra headers
		t.Errorf("%v allocations a batch: the slab of headers is too small", n)
	}
}
