package pgoutput_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// parse asks pglogrepl, which panics on truncated input and believes any
// length: only messages that Decoder accepted may be passed to it. A nil
// message with a nil error says that it does not know the kind.
func parse(m []byte, inStream bool) (parsed pglogrepl.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	switch pgoutput.Kind(m[0]) {
	case pgoutput.BeginPrepare, pgoutput.Prepare, pgoutput.CommitPrepared, pgoutput.RollbackPrepared, pgoutput.StreamPrepare:
		return nil, nil
	}
	return pglogrepl.ParseV2(m, inStream)
}

// agree compares what d decoded from m with pglogrepl's reading of m.
func agree(t *testing.T, d *pgoutput.Decoder, m []byte, inStream bool) {
	t.Helper()
	parsed, err := parse(m, inStream)
	if err != nil {
		// It wants more bytes than an Insert without columns, or a Truncate without
		// relations, has.
		switch k := pgoutput.Kind(m[0]); {
		case k == pgoutput.Insert && len(d.Row.New) == 0, k == pgoutput.Truncate && len(d.Truncate.Relations) == 0:
			return
		}
		t.Fatalf("pglogrepl refuses %x: %v", m, err)
	}
	if parsed == nil {
		return
	}
	if got, want := described(d, pgoutput.Kind(m[0])), describedByPglogrepl(parsed); got != want {
		t.Fatalf("%x\n got %s\nwant %s", m, got, want)
	}
	if inStream {
		return
	}
	if v1, err := pglogrepl.Parse(m); err == nil { // it knows protocol 1 only
		if got, want := described(d, pgoutput.Kind(m[0])), describedByPglogrepl(v1); got != want {
			t.Fatalf("%x\n got %s\nwant %s (protocol 1)", m, got, want)
		}
	}
}

func described(d *pgoutput.Decoder, k pgoutput.Kind) string {
	switch k {
	case pgoutput.Begin:
		return fmt.Sprint("begin ", uint64(d.Begin.FinalLSN), instant(nanoseconds(d.Begin.CommitTime)), d.Begin.XID)
	case pgoutput.Commit:
		c := d.Commit
		return fmt.Sprint("commit ", c.Flags, uint64(c.CommitLSN), " ", uint64(c.EndLSN), instant(nanoseconds(c.CommitTime)))
	case pgoutput.Origin:
		return fmt.Sprint("origin ", uint64(d.Origin.CommitLSN), d.Origin.Name)
	case pgoutput.RelationMsg:
		r := d.Relation
		s := fmt.Sprintf("relation %d %d %q %q %c", r.XID, r.OID, r.Schema, r.Name, byte(r.Identity))
		for _, c := range r.Columns {
			s += fmt.Sprintf(" %v %q %d %d", c.Replicated, c.Name, c.TypeOID, c.Modifier)
		}
		return s
	case pgoutput.TypeMsg:
		return fmt.Sprintf("type %d %d %q %q", d.Type.XID, d.Type.OID, d.Type.Schema, d.Type.Name)
	case pgoutput.Insert, pgoutput.Update, pgoutput.Delete:
		r := d.Row
		return fmt.Sprintf("%c %d %d %d %s %s", byte(k), r.XID, r.Relation, r.OldKind, values(r.Old), values(r.New))
	case pgoutput.Truncate:
		r := d.Truncate
		return fmt.Sprint("truncate ", r.XID, r.Relations, r.Cascade, r.RestartIdentity)
	case pgoutput.Message:
		m := d.Message
		return fmt.Sprintf("message %d %v %d %q %x", m.XID, m.Transactional, uint64(m.LSN), m.Prefix, m.Content)
	case pgoutput.StreamStart:
		return fmt.Sprint("start ", d.StreamStart.XID, d.StreamStart.First)
	case pgoutput.StreamStop:
		return "stop"
	case pgoutput.StreamCommit:
		c := d.StreamCommit
		return fmt.Sprint("scommit ", c.XID, " ", c.Flags, uint64(c.CommitLSN), " ", uint64(c.EndLSN), instant(nanoseconds(c.CommitTime)))
	case pgoutput.StreamAbort:
		return fmt.Sprint("abort ", d.StreamAbort.XID, " ", d.StreamAbort.SubXID)
	}
	return k.String()
}

func describedByPglogrepl(parsed pglogrepl.Message) string {
	switch m := parsed.(type) {
	case *pglogrepl.BeginMessage:
		return fmt.Sprint("begin ", uint64(m.FinalLSN), instant(m.CommitTime), m.Xid)
	case *pglogrepl.CommitMessage:
		return fmt.Sprint("commit ", m.Flags, uint64(m.CommitLSN), " ", uint64(m.TransactionEndLSN), instant(m.CommitTime))
	case *pglogrepl.OriginMessage:
		return fmt.Sprint("origin ", uint64(m.CommitLSN), m.Name)
	case *pglogrepl.RelationMessage:
		return relationOf(0, m)
	case *pglogrepl.RelationMessageV2:
		return relationOf(m.Xid, &m.RelationMessage)
	case *pglogrepl.TypeMessage:
		return fmt.Sprintf("type 0 %d %q %q", m.DataType, catalogName(m.Namespace), m.Name)
	case *pglogrepl.TypeMessageV2:
		return fmt.Sprintf("type %d %d %q %q", m.Xid, m.DataType, catalogName(m.Namespace), m.Name)
	case *pglogrepl.InsertMessage:
		return rowOf('I', 0, m.RelationID, 0, nil, m.Tuple)
	case *pglogrepl.InsertMessageV2:
		return rowOf('I', m.Xid, m.RelationID, 0, nil, m.Tuple)
	case *pglogrepl.UpdateMessage:
		return rowOf('U', 0, m.RelationID, m.OldTupleType, m.OldTuple, m.NewTuple)
	case *pglogrepl.UpdateMessageV2:
		return rowOf('U', m.Xid, m.RelationID, m.OldTupleType, m.OldTuple, m.NewTuple)
	case *pglogrepl.DeleteMessage:
		return rowOf('D', 0, m.RelationID, m.OldTupleType, m.OldTuple, nil)
	case *pglogrepl.DeleteMessageV2:
		return rowOf('D', m.Xid, m.RelationID, m.OldTupleType, m.OldTuple, nil)
	case *pglogrepl.TruncateMessage:
		return fmt.Sprint("truncate ", 0, m.RelationIDs, m.Option&1 != 0, m.Option&2 != 0)
	case *pglogrepl.TruncateMessageV2:
		return fmt.Sprint("truncate ", m.Xid, m.RelationIDs, m.Option&1 != 0, m.Option&2 != 0)
	case *pglogrepl.LogicalDecodingMessage:
		return fmt.Sprintf("message 0 %v %d %q %x", m.Transactional, uint64(m.LSN), m.Prefix, m.Content)
	case *pglogrepl.LogicalDecodingMessageV2:
		return fmt.Sprintf("message %d %v %d %q %x", m.Xid, m.Transactional, uint64(m.LSN), m.Prefix, m.Content)
	case *pglogrepl.StreamStartMessageV2:
		return fmt.Sprint("start ", m.Xid, m.FirstSegment == 1)
	case *pglogrepl.StreamStopMessageV2:
		return "stop"
	case *pglogrepl.StreamCommitMessageV2:
		return fmt.Sprint("scommit ", m.Xid, " ", m.Flags, uint64(m.CommitLSN), " ", uint64(m.TransactionEndLSN), instant(m.CommitTime))
	case *pglogrepl.StreamAbortMessageV2:
		return fmt.Sprint("abort ", m.Xid, " ", m.SubXid)
	}
	return fmt.Sprintf("%T", parsed)
}

func relationOf(xid uint32, m *pglogrepl.RelationMessage) string {
	s := fmt.Sprintf("relation %d %d %q %q %c", xid, m.RelationID, catalogName(m.Namespace), m.RelationName, m.ReplicaIdentity)
	for _, c := range m.Columns {
		s += fmt.Sprintf(" %v %q %d %d", c.Flags == 1, c.Name, c.DataType, c.TypeModifier)
	}
	return s
}

func rowOf(kind byte, xid, relation uint32, oldKind byte, older, newer *pglogrepl.TupleData) string {
	convert := func(t *pglogrepl.TupleData) []cdc.Value {
		if t == nil {
			return nil
		}
		row := make([]cdc.Value, len(t.Columns))
		for i, c := range t.Columns {
			switch c.DataType {
			case 't':
				row[i] = cdc.Value{Data: c.Data, State: cdc.Text}
			case 'u':
				row[i].State = cdc.Unchanged
			}
		}
		return row
	}
	return fmt.Sprintf("%c %d %d %d %s %s", kind, xid, relation, oldKind, values(convert(older)), values(convert(newer)))
}

func values(row []cdc.Value) string {
	if row == nil {
		return "-"
	}
	var b bytes.Buffer
	for _, v := range row {
		fmt.Fprintf(&b, "[%d %x]", v.State, v.Data)
	}
	return fmt.Sprintf("%d%s", len(row), b.String())
}

func catalogName(s string) string {
	if s == "" {
		return "pg_catalog"
	}
	return s
}

func instant(t time.Time) string { return t.UTC().Format(" 2006-01-02T15:04:05.000000 ") }

// nanoseconds makes a time as pglogrepl does, overflow included.
func nanoseconds(micro int64) time.Time { return time.Unix(0, micro*1000) }
