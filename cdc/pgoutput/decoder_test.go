package pgoutput_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// Times of the tables below, as PostgreSQL and as Unix counts them.
const (
	pgTime   = 848_587_872_123_456 // 2026-11-21 14:51:12.123456 UTC since 2000-01-01
	unixTime = 1_795_272_672_123_456
)

func text(s string) cdc.Value { return cdc.Value{Data: []byte(s), State: cdc.Text} }

// TestEveryKindDecodes gives each kind its bytes, inside a stream block too
// where the layout differs there.
func TestEveryKindDecodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		inStream bool
		msg      []byte
		want     func(d *pgoutput.Decoder)
	}{
		{"Begin", false, msg('B').u64(0x16B374D848).u64(pgTime).u32(741), func(d *pgoutput.Decoder) {
			d.Begin.FinalLSN, d.Begin.CommitTime, d.Begin.XID = 0x16B374D848, unixTime, 741
		}},
		{"Begin of time", false, msg('B').u64(0).u64(0).u32(0), func(d *pgoutput.Decoder) {
			d.Begin.CommitTime = 946_684_800_000_000
		}},
		{"Commit", false, msg('C').u8(3).u64(7).u64(8).u64(pgTime), func(d *pgoutput.Decoder) {
			d.Commit.Flags, d.Commit.CommitLSN, d.Commit.EndLSN, d.Commit.CommitTime = 3, 7, 8, unixTime
		}},
		{"Origin", false, msg('O').u64(0xABCDEF).str("elsewhere"), func(d *pgoutput.Decoder) {
			d.Origin.CommitLSN, d.Origin.Name = 0xABCDEF, "elsewhere"
		}},
		{"Origin in a stream", true, msg('O').u64(1).str(""), func(d *pgoutput.Decoder) { d.Origin.CommitLSN = 1 }},
		{"Relation", false, msg('R').u32(16390).str("public").str(`odd "name`).u8('d').u16(2).
			u8(1).str("id").u32(23).u32(0xFFFFFFFF).u8(0).str("naïve").u32(1700).u32(655366), func(d *pgoutput.Decoder) {
			d.Relation = pgoutput.Relation{OID: 16390, Schema: "public", Name: `odd "name`, Identity: cdc.IdentityDefault, Columns: []pgoutput.RelationColumn{
				{Name: "id", TypeOID: 23, Modifier: -1, Replicated: true}, {Name: "naïve", TypeOID: 1700, Modifier: 655366},
			}}
		}},
		{"Relation in a stream", true, msg('R').u32(9).u32(1).str("").str("t").u8('f').u16(0), func(d *pgoutput.Decoder) {
			d.Relation = pgoutput.Relation{XID: 9, OID: 1, Schema: "pg_catalog", Name: "t", Identity: cdc.IdentityFull, Columns: []pgoutput.RelationColumn{}}
		}},
		{"Type", false, msg('Y').u32(16400).str("app").str("mood"), func(d *pgoutput.Decoder) {
			d.Type.OID, d.Type.Schema, d.Type.Name = 16400, "app", "mood"
		}},
		{"Type in a stream", true, msg('Y').u32(9).u32(16400).str("").str("int4"), func(d *pgoutput.Decoder) {
			d.Type.XID, d.Type.OID, d.Type.Schema, d.Type.Name = 9, 16400, "pg_catalog", "int4"
		}},
		{"Insert", false, msg('I').u32(5).tuple('N', "1", null, unchanged, ""), func(d *pgoutput.Decoder) {
			d.Row = pgoutput.Row{Relation: 5, New: []cdc.Value{text("1"), {}, {State: cdc.Unchanged}, text("")}}
		}},
		{"Insert without columns", false, msg('I').u32(5).tuple('N'), func(d *pgoutput.Decoder) {
			d.Row = pgoutput.Row{Relation: 5, New: []cdc.Value{}}
		}},
		{"Insert in a stream", true, msg('I').u32(9).u32(5).tuple('N', "1"), func(d *pgoutput.Decoder) {
			d.Row = pgoutput.Row{XID: 9, Relation: 5, New: []cdc.Value{text("1")}}
		}},
		{"Update", false, msg('U').u32(5).tuple('N', "1"), func(d *pgoutput.Decoder) {
			d.Row = pgoutput.Row{Relation: 5, New: []cdc.Value{text("1")}}
		}},
		{"Update of a key", false, msg('U').u32(5).tuple('K', "1", null).tuple('N', "2", unchanged), func(d *pgoutput.Decoder) {
			d.Row = pgoutput.Row{Relation: 5, OldKind: 'K', Old: []cdc.Value{text("1"), {}}, New: []cdc.Value{text("2"), {State: cdc.Unchanged}}}
		}},
		{"Update in a stream", true, msg('U').u32(9).u32(5).tuple('O', "1", "a").tuple('N', "1", "b"), func(d *pgoutput.Decoder) {
			d.Row = pgoutput.Row{XID: 9, Relation: 5, OldKind: 'O', Old: []cdc.Value{text("1"), text("a")}, New: []cdc.Value{text("1"), text("b")}}
		}},
		{"Delete", false, msg('D').u32(5).tuple('K', "1", null), func(d *pgoutput.Decoder) {
			d.Row = pgoutput.Row{Relation: 5, OldKind: 'K', Old: []cdc.Value{text("1"), {}}}
		}},
		{"Delete in a stream", true, msg('D').u32(9).u32(5).tuple('O', "1"), func(d *pgoutput.Decoder) {
			d.Row = pgoutput.Row{XID: 9, Relation: 5, OldKind: 'O', Old: []cdc.Value{text("1")}}
		}},
		{"Truncate", false, msg('T').u32(2).u8(2).u32(5).u32(6), func(d *pgoutput.Decoder) {
			d.Truncate.Relations, d.Truncate.RestartIdentity = []uint32{5, 6}, true
		}},
		{"Truncate in a stream", true, msg('T').u32(9).u32(1).u8(1).u32(5), func(d *pgoutput.Decoder) {
			d.Truncate.XID, d.Truncate.Relations, d.Truncate.Cascade = 9, []uint32{5}, true
		}},
		{"Message", false, append(msg('M').u8(0).u64(77).str("outbox").u32(2), 0, 1), func(d *pgoutput.Decoder) {
			d.Message.LSN, d.Message.Prefix, d.Message.Content = 77, "outbox", []byte{0, 1}
		}},
		{"Message in a stream", true, msg('M').u32(9).u8(1).u64(77).str("").u32(0), func(d *pgoutput.Decoder) {
			d.Message.XID, d.Message.Transactional, d.Message.LSN, d.Message.Content = 9, true, 77, []byte{}
		}},
		{"Stream Start", false, msg('S').u32(9).u8(1), func(d *pgoutput.Decoder) {
			d.StreamStart.XID, d.StreamStart.First = 9, true
		}},
		{"Stream Stop", true, msg('E'), func(*pgoutput.Decoder) {}},
		{"Stream Commit", false, msg('c').u32(9).u8(1).u64(7).u64(8).u64(pgTime), func(d *pgoutput.Decoder) {
			c := &d.StreamCommit
			c.XID, c.Flags, c.CommitLSN, c.EndLSN, c.CommitTime = 9, 1, 7, 8, unixTime
		}},
		{"Stream Abort", false, msg('A').u32(9).u32(10), func(d *pgoutput.Decoder) {
			d.StreamAbort.XID, d.StreamAbort.SubXID = 9, 10
		}},
		{"Stream Abort of protocol 4", false, msg('A').u32(9).u32(9).u64(7).u64(pgTime), func(d *pgoutput.Decoder) {
			a := &d.StreamAbort
			a.XID, a.SubXID, a.Parallel, a.LSN, a.Time = 9, 9, true, 7, unixTime
		}},
		{"Begin Prepare", false, msg('b').u64(7).u64(8).u64(pgTime).u32(9).str("gid"), func(d *pgoutput.Decoder) {
			p := &d.Prepare
			p.PrepareLSN, p.EndLSN, p.Time, p.XID, p.GID = 7, 8, unixTime, 9, "gid"
		}},
		{"Prepare", false, msg('P').u8(1).u64(7).u64(8).u64(pgTime).u32(9).str("gid"), func(d *pgoutput.Decoder) {
			p := &d.Prepare
			p.Flags, p.PrepareLSN, p.EndLSN, p.Time, p.XID, p.GID = 1, 7, 8, unixTime, 9, "gid"
		}},
		{"Stream Prepare", false, msg('p').u8(0).u64(7).u64(8).u64(pgTime).u32(9).str("gid"), func(d *pgoutput.Decoder) {
			p := &d.Prepare
			p.PrepareLSN, p.EndLSN, p.Time, p.XID, p.GID = 7, 8, unixTime, 9, "gid"
		}},
		{"Commit Prepared", false, msg('K').u8(0).u64(7).u64(8).u64(pgTime).u32(9).str("gid"), func(d *pgoutput.Decoder) {
			c := &d.CommitPrepared
			c.CommitLSN, c.EndLSN, c.CommitTime, c.XID, c.GID = 7, 8, unixTime, 9, "gid"
		}},
		{"Rollback Prepared", false, msg('r').u8(0).u64(7).u64(8).u64(pgTime).u64(pgTime + 1).u32(9).str("gid"), func(d *pgoutput.Decoder) {
			r := &d.RollbackPrepared
			r.PrepareEndLSN, r.RollbackEndLSN, r.PrepareTime, r.RollbackTime, r.XID, r.GID = 7, 8, unixTime, unixTime+1, 9, "gid"
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got, want pgoutput.Decoder
			if test.inStream {
				enter(t, &got)
				enter(t, &want)
			}
			k, err := got.Decode(test.msg)
			if err != nil {
				t.Fatal(err)
			}
			if name, _, _ := strings.Cut(test.name, " in a "); !strings.HasPrefix(name, k.String()) {
				t.Errorf("got kind %s", k)
			}
			test.want(&want)
			for i := range reflect.TypeFor[pgoutput.Decoder]().NumField() {
				field := reflect.TypeFor[pgoutput.Decoder]().Field(i)
				if !field.IsExported() {
					continue
				}
				g, w := reflect.ValueOf(got).Field(i).Interface(), reflect.ValueOf(want).Field(i).Interface()
				if !reflect.DeepEqual(g, w) {
					t.Errorf("%s:\n got %+v\nwant %+v", field.Name, g, w)
				}
			}
			check(t, &got, test.msg, test.inStream)
		})
	}
}

func enter(t *testing.T, d *pgoutput.Decoder) {
	t.Helper()
	if _, err := d.Decode(msg('S').u32(9).u8(1)); err != nil || !d.InStream() {
		t.Fatalf("Stream Start: in stream %v, error %v", d.InStream(), err)
	}
}

func TestMalformedMessagesNameOffsetAndReason(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		inStream bool
		msg      []byte
		offset   int
		reason   string
	}{
		{"empty", false, nil, 0, "empty"},
		{"unknown kind", false, []byte("Zebra"), 0, "no message of protocols 1 to 4 starts with this byte"},
		{"short Begin", false, msg('B').u64(1).u32(0), 9, "commit time takes 8 bytes, 4 are left"},
		{"trailing byte", false, msg('B').u64(1).u64(1).u32(1).u8(0), 21, "1 bytes behind the last field"},
		{"trailing bytes of a row", false, msg('I').u32(1).tuple('N', "a").u16(0), 14, "2 bytes behind the last field"},
		{"text without end", false, append(msg('O').u64(1), "name"...), 9, "name has no end"},
		{"value longer than the message", false, msg('I').u32(1).u8('N').u16(1).u8('t').u32(5).u32(0), 9, "column 1 has length 5, 4 bytes are left"},
		{"negative length", false, msg('I').u32(1).u8('N').u16(2).u8('n').u8('t').u32(0xFFFFFFFF), 10, "column 2 has length -1, 0 bytes are left"},
		{"most negative length", false, msg('I').u32(1).u8('N').u16(1).u8('t').u32(0x80000000), 9, "column 1 has length -2147483648, 0 bytes are left"},
		{"length cut off", false, append(msg('I').u32(1).u8('N').u16(1).u8('t'), 0, 0), 8, "column 1 ends inside its length"},
		{"more columns than bytes", false, msg('I').u32(1).u8('N').u16(3).u8('n').u8('n'), 6, "3 columns in 2 bytes"},
		{"column not there", false, append(msg('I').u32(1).u8('N').u16(2).u8('t').u32(1), 'x'), 14, "column 2 is not there"},
		{"binary value", false, msg('I').u32(1).u8('N').u16(1).u8('b').u32(0), 8, "column 1 is in binary form, which was not asked for"},
		{"unknown form", false, msg('I').u32(1).u8('N').u16(1).u8('x'), 8, "column 1 has the unknown form 'x'"},
		{"Insert of an old row", false, msg('I').u32(1).tuple('K', "a"), 5, "tuple kind 'K', want 'N'"},
		{"Update with unknown row", false, msg('U').u32(1).tuple('Q', "a"), 5, "tuple kind 'Q', want 'K', 'O' or 'N'"},
		{"Update with two old rows", false, msg('U').u32(1).tuple('K', null).tuple('O', null), 9, "tuple kind 'O', want 'N'"},
		{"Update without new row", false, msg('U').u32(1).tuple('K', null), 9, "new tuple takes 1 bytes, 0 are left"},
		{"Delete of a new row", false, msg('D').u32(1).tuple('N', "a"), 5, "tuple kind 'N', want 'K' or 'O'"},
		{"row without number", false, msg('D').u32(1).u8('K').u8(0), 6, "number of columns takes 2 bytes, 1 are left"},
		{"row without relation", false, msg('D').u16(1), 1, "relation and tuple kind takes 5 bytes, 2 are left"},
		{"row in a stream without id", true, msg('D').u16(1), 1, "transaction id takes 4 bytes, 2 are left"},
		{"too many relations", false, msg('T').u32(0x40000001).u8(0).u32(1), 1, "1073741825 relations take 4294967300 bytes, 4 are left"},
		{"unknown truncate option", false, msg('T').u32(0).u8(4), 5, "options has unknown bits: 0x04"},
		{"unknown message flag", false, msg('M').u8(2).u64(0).str("").u32(0), 1, "flags has unknown bits: 0x02"},
		{"message shorter than its content", false, msg('M').u8(0).u64(0).str("").u32(1), 11, "content length is 1, 0 bytes are left"},
		{"negative content", false, msg('M').u8(0).u64(0).str("").u32(0xFFFFFFFE), 11, "content length is negative: -2"},
		{"more columns than the relation", false, msg('R').u32(1).str("s").str("t").u8('d').u16(2).u64(0).u8(0), 10, "2 columns take at least 20 bytes, 9 are left"},
		{"unknown identity", false, msg('R').u32(1).str("s").str("t").u8('x').u16(0), 9, "unknown replica identity 'x'"},
		{"unknown column flag", false, msg('R').u32(1).str("s").str("t").u8('d').u16(1).u8(9).str("c").u64(0), 12, "column flags has unknown bits: 0x09"},
		{"half a Stream Abort", false, msg('A').u32(1).u32(1).u64(1), 17, "abort time takes 8 bytes, 0 are left"},
		{"Begin in a stream", true, msg('B').u64(1).u64(1).u32(1), 0, "inside a stream block"},
		{"stream in a stream", true, msg('S').u32(1).u8(0), 0, "inside a stream block"},
		{"Stream Commit in a stream", true, msg('c').u32(1).u8(0).u64(1).u64(1).u64(1), 0, "inside a stream block"},
		{"Stream Stop outside", false, msg('E'), 0, "outside of a stream block"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var d pgoutput.Decoder
			if test.inStream {
				enter(t, &d)
			}
			_, err := d.Decode(test.msg)
			var e *pgoutput.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Offset != test.offset || e.Reason != test.reason {
				t.Errorf("got %d %q, want %d %q", e.Offset, e.Reason, test.offset, test.reason)
			}
			if len(test.msg) > 0 && (e.Kind != pgoutput.Kind(test.msg[0]) || !strings.Contains(e.Error(), e.Reason)) {
				t.Errorf("got kind %s in %q", e.Kind, e)
			}
			if d.InStream() != test.inStream {
				t.Error("the refused message changed the stream's state")
			}
		})
	}
}

// TestRowsShareTheInput holds the promise that makes decoding cheap, and its
// price: values change with the buffer.
func TestRowsShareTheInput(t *testing.T) {
	t.Parallel()
	var d pgoutput.Decoder
	m := msg('I').u32(1).tuple('N', "abc")
	if _, err := d.Decode(m); err != nil {
		t.Fatal(err)
	}
	m[len(m)-1] = 'X'
	if got := string(d.Row.New[0].Data); got != "abX" {
		t.Errorf("got %q, want the buffer's abX", got)
	}
}

// TestRelationsAreTheCallersToKeep decodes a second relation over the first's
// bytes.
func TestRelationsAreTheCallersToKeep(t *testing.T) {
	t.Parallel()
	var d pgoutput.Decoder
	m := msg('R').u32(1).str("s").str("t").u8('d').u16(1).u8(1).str("a").u32(23).u32(0)
	if _, err := d.Decode(m); err != nil {
		t.Fatal(err)
	}
	kept := d.Relation
	columns := slices.Clone(kept.Columns)
	copy(m, msg('R').u32(2).str("x").str("y").u8('f').u16(1).u8(0).str("b").u32(25).u32(7))
	if _, err := d.Decode(m); err != nil {
		t.Fatal(err)
	}
	if kept.Schema != "s" || kept.Name != "t" || !slices.Equal(kept.Columns, columns) || d.Relation.Columns[0].Name != "b" {
		t.Errorf("the first relation became %+v, the second is %+v", kept, d.Relation)
	}
}
