package pgoutput_test

import (
	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// encode writes the message that d has decoded, inside a stream block or not. Every byte of a message means
// something and has one spelling, so this must be the bytes that came in.
// catalog is the spelling of pg_catalog, which alone has two.
func encode(d *pgoutput.Decoder, k pgoutput.Kind, inStream bool, catalog string) []byte {
	b := msg(byte(k))
	xid := func(v uint32) {
		if inStream {
			b = b.u32(v)
		}
	}
	schema := func(s string) string {
		if s == "pg_catalog" {
			return catalog
		}
		return s
	}
	switch k {
	case pgoutput.Begin:
		b = b.u64(uint64(d.Begin.FinalLSN)).u64(clock(d.Begin.CommitTime)).u32(d.Begin.XID)
	case pgoutput.Commit:
		b = b.u8(d.Commit.Flags).u64(uint64(d.Commit.CommitLSN)).u64(uint64(d.Commit.EndLSN)).u64(clock(d.Commit.CommitTime))
	case pgoutput.Origin:
		b = b.u64(uint64(d.Origin.CommitLSN)).str(d.Origin.Name)
	case pgoutput.RelationMsg:
		xid(d.Relation.XID)
		b = b.u32(d.Relation.OID).str(schema(d.Relation.Schema)).str(d.Relation.Name)
		b = b.u8(byte(d.Relation.Identity)).u16(uint16(len(d.Relation.Columns)))
		for _, c := range d.Relation.Columns {
			b = b.u8(bit(c.Replicated, 1)).str(c.Name).u32(c.TypeOID).u32(uint32(c.Modifier))
		}
	case pgoutput.TypeMsg:
		xid(d.Type.XID)
		b = b.u32(d.Type.OID).str(schema(d.Type.Schema)).str(d.Type.Name)
	case pgoutput.Insert, pgoutput.Update, pgoutput.Delete:
		xid(d.Row.XID)
		b = b.u32(d.Row.Relation).row(d.Row.OldKind, d.Row.Old).row('N', d.Row.New)
	case pgoutput.Truncate:
		xid(d.Truncate.XID)
		b = b.u32(uint32(len(d.Truncate.Relations)))
		b = b.u8(bit(d.Truncate.Cascade, 1) | bit(d.Truncate.RestartIdentity, 2))
		for _, oid := range d.Truncate.Relations {
			b = b.u32(oid)
		}
	case pgoutput.Message:
		xid(d.Message.XID)
		b = b.u8(bit(d.Message.Transactional, 1)).u64(uint64(d.Message.LSN)).str(d.Message.Prefix)
		b = append(b.u32(uint32(len(d.Message.Content))), d.Message.Content...)
	case pgoutput.StreamStart:
		b = b.u32(d.StreamStart.XID).u8(bit(d.StreamStart.First, 1))
	case pgoutput.StreamStop:
	case pgoutput.StreamCommit:
		c := d.StreamCommit
		b = b.u32(c.XID).u8(c.Flags).u64(uint64(c.CommitLSN)).u64(uint64(c.EndLSN)).u64(clock(c.CommitTime))
	case pgoutput.StreamAbort:
		b = b.u32(d.StreamAbort.XID).u32(d.StreamAbort.SubXID)
		if d.StreamAbort.Parallel {
			b = b.u64(uint64(d.StreamAbort.LSN)).u64(clock(d.StreamAbort.Time))
		}
	case pgoutput.BeginPrepare, pgoutput.Prepare, pgoutput.StreamPrepare:
		p := d.Prepare
		if k != pgoutput.BeginPrepare {
			b = b.u8(p.Flags)
		}
		b = b.u64(uint64(p.PrepareLSN)).u64(uint64(p.EndLSN)).u64(clock(p.Time)).u32(p.XID).str(p.GID)
	case pgoutput.CommitPrepared:
		c := d.CommitPrepared
		b = b.u8(c.Flags).u64(uint64(c.CommitLSN)).u64(uint64(c.EndLSN)).u64(clock(c.CommitTime)).u32(c.XID).str(c.GID)
	case pgoutput.RollbackPrepared:
		r := d.RollbackPrepared
		b = b.u8(r.Flags).u64(uint64(r.PrepareEndLSN)).u64(uint64(r.RollbackEndLSN))
		b = b.u64(clock(r.PrepareTime)).u64(clock(r.RollbackTime)).u32(r.XID).str(r.GID)
	}
	return b
}

func (b builder) row(letter byte, row []cdc.Value) builder {
	if row == nil {
		return b
	}
	b = b.u8(letter).u16(uint16(len(row)))
	for _, v := range row {
		switch v.State {
		case cdc.Null:
			b = b.u8('n')
		case cdc.Unchanged:
			b = b.u8('u')
		case cdc.Text:
			b = append(b.u8('t').u32(uint32(len(v.Data))), v.Data...)
		}
	}
	return b
}

// clock is PostgreSQL's time: microseconds since 2000-01-01.
func clock(unix int64) uint64 { return uint64(unix - 946_684_800_000_000) }

func bit(set bool, mask byte) byte {
	if set {
		return mask
	}
	return 0
}
