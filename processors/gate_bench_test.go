package processors

import (
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
)

// BenchmarkThroughTheGate is what a record costs from its bytes to the state that it
// leaves, in rounds of 5,000 rows that were never seen before.
func BenchmarkThroughTheGate(b *testing.B) {
	const rows = 5000
	messages, registry := BenchMessages(b, rows, false)
	c := DefaultConfig()
	t := &task{replica: state.NewReplica()}
	o := &owner{config: &c, parked: parked{}, generation: 1, task: t, decoder: newDecoder(registry, newShapes(), true)}
	overlay := state.NewOverlay(t.replica.Memory)
	round := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		renew(messages, round*rows)
		if round++; round%200 == 0 {
			t.replica = state.NewReplica()
		}
		b.StartTimer()
		overlay.Reset(t.replica.Memory)
		items, err := o.admit(b.Context(), messages, overlay)
		if err != nil {
			b.Fatal(err)
		}
		if items[rows-1].verdict != passes || items[rows-1].fault != nil {
			b.Fatalf("the last record: %+v", items[rows-1])
		}
		taken := 0
		overlay.Take(func(string, string, []byte) { taken++ })
		if taken < rows {
			b.Fatalf("%d rows are in the state", taken)
		}
		overlay.Apply(t.replica.Memory)
		o.decoder.letGo()
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}

// renew gives messages other rows, and later positions.
func renew(messages []kafka.Message, from int) {
	for i := range messages {
		m := &messages[i]
		n := uint64(from+i)<<1 | 1<<35 // so many bytes, whatever the number: a zigzag varint
		key := append([]byte{}, m.Key[:cdc.KeyHeaderBytes]...)
		for ; n >= 0x80; n >>= 7 {
			key = append(key, byte(n)|0x80)
		}
		m.Key = append(key, byte(n))
		m.Headers[0].Value = cdc.Position{Epoch: 1, LSN: cdc.LSN(from + i + 1), Ordinal: 1}.Append(nil)
	}
}
