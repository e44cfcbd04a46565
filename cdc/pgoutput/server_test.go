package pgoutput_test

import (
	"bytes"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// captured is the messages of a file in testdata.
func captured(tb testing.TB, path string) [][]byte {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var messages [][]byte
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		m, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			tb.Fatal(err)
		}
		messages = append(messages, m)
	}
	return messages
}

func captures(tb testing.TB) []string {
	tb.Helper()
	paths, err := filepath.Glob("testdata/server-*.hex")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no captures in testdata (error %v)", err)
	}
	return paths
}

// check holds a decoded message against everything known: pglogrepl's reading,
// the bytes it came from, and the memory it may refer to.
func check(t *testing.T, d *pgoutput.Decoder, m []byte, inStream bool) {
	t.Helper()
	k := pgoutput.Kind(m[0])
	agree(t, d, m, inStream)
	again := encode(d, k, inStream, "")
	if !bytes.Equal(again, m) && !bytes.Equal(encode(d, k, inStream, "pg_catalog"), m) {
		t.Fatalf("encoded again:\n got %x\nwant %x", again, m)
	}
	if k != pgoutput.Insert && k != pgoutput.Update && k != pgoutput.Delete {
		return
	}
	for _, v := range slices.Concat(d.Row.Old, d.Row.New) {
		if cap(v.Data) != len(v.Data) {
			t.Fatalf("a value of %d bytes has room for %d: appending to it would write into the next", len(v.Data), cap(v.Data))
		}
	}
}

// decodeAll checks every message of a stream from its start and counts kinds;
// the second form of Stream Abort counts as 'a'.
func decodeAll(t *testing.T, messages [][]byte) map[pgoutput.Kind]int {
	t.Helper()
	var d pgoutput.Decoder
	seen := map[pgoutput.Kind]int{}
	for _, m := range messages {
		inStream := d.InStream()
		k, err := d.Decode(m)
		if err != nil {
			t.Fatalf("%x: %v", m, err)
		}
		check(t, &d, m, inStream)
		if k == pgoutput.StreamAbort && d.StreamAbort.Parallel {
			k = 'a'
		}
		seen[k]++
	}
	if d.InStream() {
		t.Error("the stream ends inside a stream block")
	}
	return seen
}

func TestCapturedMessagesDecodeAsPglogreplReadsThem(t *testing.T) {
	t.Parallel()
	seen := map[pgoutput.Kind]int{}
	for _, path := range captures(t) {
		maps.Copy(seen, decodeAll(t, captured(t, path)))
	}
	for _, k := range "BCORYIUDTMSEcAabPKrp" {
		if seen[pgoutput.Kind(k)] == 0 {
			t.Errorf("no capture has a message of kind %c", k)
		}
	}
}

// TestCutMessagesAreRefused cuts every server message at every byte, and adds
// one: nothing but the whole message decodes, and nothing panics.
func TestCutMessagesAreRefused(t *testing.T) {
	t.Parallel()
	for _, path := range captures(t) {
		var d pgoutput.Decoder
		for _, m := range captured(t, path) {
			for n := range m {
				if n > 300 && n < len(m)-20 {
					continue // inside one long value
				}
				before := d
				if m[0] == 'A' && n == 9 {
					continue // the form of protocols 2 and 3
				}
				if _, err := d.Decode(m[:n:n]); err == nil {
					t.Fatalf("%d bytes of %x were accepted", n, m)
				} else if e := err.(*pgoutput.Error); e.Offset > n {
					t.Fatalf("%d bytes of %x: offset %d lies outside: %v", n, m, e.Offset, e)
				}
				if d.InStream() != before.InStream() {
					t.Fatalf("a refused message changed the stream's state: %x", m[:n])
				}
			}
			if _, err := d.Decode(append(bytes.Clone(m), 0)); err == nil {
				t.Fatalf("%x00 was accepted", m)
			}
			if _, err := d.Decode(m); err != nil {
				t.Fatal(err)
			}
		}
	}
}
