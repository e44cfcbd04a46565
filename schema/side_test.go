package schema

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// sideCase is one file of testdata/side: the records of topics that belong to no
// table, as Debezium 3.7.0.Final wrote them, with the schemas it registered.
type sideCase struct {
	Prefix, Binary string
	Schemas        map[string]struct{ Key, Value string } // by topic
	Records        []struct {
		Topic    string
		Key      map[string]string
		Value    sideValue
		KeyHex   string `json:"key_hex"`
		ValueHex string `json:"value_hex"`
	}
}

// sideValue has the fields of all three values.
type sideValue struct {
	TsMs            int64 `json:"ts_ms"`
	Status, ID      string
	EventCount      *int64 `json:"event_count"`
	DataCollections []struct {
		Table  string `json:"data_collection"`
		Events int64  `json:"event_count"`
	} `json:"data_collections"`
	Source struct {
		DB       string
		Sequence string
		TsUs     int64 `json:"ts_us"`
		TxID     uint32
		LSN      uint64
		Origin   string
	}
	Transaction *struct {
		ID         string
		TotalOrder int64 `json:"total_order"`
		TableOrder int64 `json:"data_collection_order"`
	}
	Message struct {
		Prefix  string
		Content json.RawMessage
	}
}

func TestSideRecordsAreDebeziumsBytes(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/side/*.json")
	if err != nil || len(files) != 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			var c sideCase
			if err := json.Unmarshal([]byte(readFile(t, file)), &c); err != nil {
				t.Fatal(err)
			}
			if len(c.Records) == 0 {
				t.Fatal("no record")
			}
			for i, r := range c.Records {
				registry := subjects{}
				key, value := encodeSide(t, NewEncoder(Settings{Name: c.Prefix, Database: c.Prefix, Version: "3.7.0.Final", Binary: c.Binary}, registry), r.Topic, r.Key, &r.Value)
				for suffix, want := range map[string]string{"-key": c.Schemas[r.Topic].Key, "-value": c.Schemas[r.Topic].Value} {
					if got := registry[r.Topic+suffix]; got != want {
						t.Errorf("record %d, schema of %s\n got %s\nwant %s", i, r.Topic+suffix, got, want)
					}
				}
				if got := hex.EncodeToString(key[cdc.KeyHeaderBytes:]); got != r.KeyHex {
					t.Errorf("record %d, key\n got %s\nwant %s", i, got, r.KeyHex)
				}
				if got := hex.EncodeToString(value[cdc.KeyHeaderBytes:]); got != r.ValueHex {
					t.Errorf("record %d, value\n got %s\nwant %s", i, got, r.ValueHex)
				}
			}
		})
	}
}

// subjects is a registry that takes everything and remembers what.
type subjects map[string]string

func (s subjects) Register(_ context.Context, subject, schema string) (int, error) {
	s[subject] = schema
	return len(s), nil
}

func encodeSide(t *testing.T, e *Encoder, topic string, key map[string]string, v *sideValue) ([]byte, []byte) {
	t.Helper()
	switch {
	case strings.HasSuffix(topic, ".message"):
		p, err := e.Messages(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		return p.AppendKey(nil, key["prefix"]), p.AppendValue(nil, v.envelope(t), v.Message.Prefix, v.content(t))
	case strings.HasSuffix(topic, ".transaction"):
		p, err := e.Transactions(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		m := cdc.TransactionMark{End: v.Status == "END", ID: []byte(v.ID), CommitTime: v.TsMs*1000 + 999}
		for _, c := range v.DataCollections {
			m.Tables = append(m.Tables, cdc.TableCount{Table: c.Table, Events: c.Events})
		}
		return p.AppendKey(nil, []byte(key["id"])), p.AppendValue(nil, &m)
	}
	p, err := e.Heartbeats(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return p.AppendKey(nil), p.AppendValue(nil, v.TsMs*1_000_000+999_999)
}

func (v *sideValue) envelope(t *testing.T) *cdc.Envelope {
	t.Helper()
	var sequence [2]*string
	if err := json.Unmarshal([]byte(v.Source.Sequence), &sequence); err != nil {
		t.Fatal(err)
	}
	e := &cdc.Envelope{
		LSN: cdc.LSN(v.Source.LSN), Now: v.TsMs*1_000_000 + 999_999,
		Tx: &cdc.Transaction{XID: v.Source.TxID, CommitTime: v.Source.TsUs},
	}
	if sequence[0] != nil {
		last, err := strconv.ParseUint(*sequence[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		e.LastCommit = cdc.LSN(last)
	}
	if b := v.Transaction; b != nil {
		e.TransactionID, e.TotalOrder, e.TableOrder = []byte(b.ID), b.TotalOrder, b.TableOrder
	}
	return e
}

// content undoes what the binary mode did, by the tools of the standard library.
func (v *sideValue) content(t *testing.T) []byte {
	t.Helper()
	var raw struct{ Bytes string }
	if json.Unmarshal(v.Message.Content, &raw) == nil {
		b, err := hex.DecodeString(raw.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var text string
	if err := json.Unmarshal(v.Message.Content, &text); err != nil {
		t.Fatal(err)
	}
	if b, err := hex.DecodeString(text); err == nil {
		return b
	}
	var b []byte // encoding/json reads base64 into it
	if err := json.Unmarshal(v.Message.Content, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// There is no captured message in this mode; its alphabet and padding are those
// of the captured columns.
func TestMessageContentInURLSafeBase64(t *testing.T) {
	t.Parallel()
	e := NewEncoder(Settings{Binary: "base64-url-safe"}, subjects{})
	p, err := e.Messages(t.Context(), "shop.message")
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]string{"\xfb\xff\xfe": "-__-", "\x00": "AA==", "": ""} {
		got := p.AppendValue(nil, &cdc.Envelope{}, "p", []byte(content))
		if tail := appendString([]byte{2, 2, 'p', 2}, want); !bytes.HasSuffix(got, tail) {
			t.Errorf("%x: got %x, want … %x", content, got, tail)
		}
	}
}

func TestSideRecordsAreNotMadeAnewForEach(t *testing.T) {
	e := NewEncoder(Settings{Name: "shop", Binary: "hex"}, subjects{})
	messages, err := e.Messages(t.Context(), "shop.message")
	if err != nil {
		t.Fatal(err)
	}
	transactions, err := e.Transactions(t.Context(), "shop.transaction")
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 1024)
	env := &cdc.Envelope{LSN: 1, LastCommit: 1, TransactionID: []byte("7:1"), Tx: &cdc.Transaction{XID: 7}}
	mark := &cdc.TransactionMark{End: true, ID: []byte("7:1"), Tables: []cdc.TableCount{{Table: "public.t", Events: 1}}}
	content := []byte("content")
	if n := testing.AllocsPerRun(100, func() {
		dst = messages.AppendValue(messages.AppendKey(dst[:0], "prefix"), env, "prefix", content)
		dst = transactions.AppendValue(transactions.AppendKey(dst[:0], mark.ID), mark)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
