package pgoutput_test

import (
	"testing"

	"github.com/tailrace/tailrace/cdc/pgoutput"
)

var eight = []string{
	"184467", "c7b1b1c4-9a0e-4d0c-8f0a-3a6b1c1f0c11", "customer-000184467@example.org", "active",
	"1234.56", "2026-11-21 10:11:12.123456+00", null, `{"tier": "gold"}`,
}

func benchmarkDecode(b *testing.B, m []byte) {
	var d pgoutput.Decoder
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeInsert(b *testing.B) {
	benchmarkDecode(b, msg('I').u32(16385).tuple('N', eight...))
}

func BenchmarkDecodeUpdateFull(b *testing.B) {
	benchmarkDecode(b, msg('U').u32(16385).tuple('O', eight...).tuple('N', eight...))
}

func BenchmarkDecodeDelete(b *testing.B) {
	benchmarkDecode(b, msg('D').u32(16385).tuple('K', "184467", null, null, null, null, null, null, null))
}

func BenchmarkDecodeBegin(b *testing.B) {
	benchmarkDecode(b, msg('B').u64(0x16B374D848).u64(0).u32(741))
}

// TestRowsAreDecodedWithoutAllocating holds for rows, for the brackets around
// them, and for a message or origin whose name came before.
func TestRowsAreDecodedWithoutAllocating(t *testing.T) {
	messages := map[string][]byte{
		"insert":   msg('I').u32(1).tuple('N', eight...),
		"update":   msg('U').u32(1).tuple('N', eight...),
		"update K": msg('U').u32(1).tuple('K', eight...).tuple('N', eight...),
		"update O": msg('U').u32(1).tuple('O', eight...).tuple('N', eight...),
		"delete":   msg('D').u32(1).tuple('O', eight...),
		"begin":    msg('B').u64(1).u64(2).u32(3),
		"commit":   msg('C').u8(0).u64(1).u64(2).u64(3),
		"origin":   msg('O').u64(1).str("elsewhere"),
		"message":  append(msg('M').u8(1).u64(9).str("outbox").u32(2), "{}"...),
		"truncate": msg('T').u32(2).u8(0).u32(1).u32(2),
	}
	for name, m := range messages {
		var d pgoutput.Decoder
		var err error
		n := testing.AllocsPerRun(100, func() { _, err = d.Decode(m) })
		if err != nil || n != 0 {
			t.Errorf("%s: got %v allocations, error %v; want none", name, n, err)
		}
	}
}
