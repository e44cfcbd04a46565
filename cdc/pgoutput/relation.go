package pgoutput

import "github.com/tailrace/tailrace/cdc"

// Relation is a table as of the WAL that follows it. It is freshly allocated
// and immutable.
type Relation struct {
	XID      uint32 // of a streamed transaction; else 0
	OID      uint32
	Schema   string
	Name     string
	Identity cdc.Identity
	Columns  []RelationColumn // the published ones, in attribute order
}

// RelationColumn is one column of a Relation.
type RelationColumn struct {
	Name     string
	TypeOID  uint32
	Modifier int32 // atttypmod; -1 for none
	// Replicated is true for the columns of the replica identity; under FULL for
	// all of them.
	Replicated bool
}

func (d *Decoder) relation(msg []byte) *Error {
	const identity = 1
	r := read(msg)
	text := string(msg) // one allocation that all names share
	name := func(field string) string {
		n := len(r.cstring(field))
		if r.err != nil {
			return ""
		}
		return text[r.pos-1-n : r.pos-1]
	}
	var rel Relation
	rel.XID = r.xid(d.inStream)
	rel.OID = r.uint32("relation")
	rel.Schema = schema(name("schema"))
	rel.Name = name("name")
	rel.Identity = cdc.Identity(r.byte("replica identity"))
	switch rel.Identity {
	case cdc.IdentityDefault, cdc.IdentityNothing, cdc.IdentityFull, cdc.IdentityIndex:
	default:
		r.fail(r.pos-1, "unknown replica identity %q", byte(rel.Identity))
	}
	at := r.pos
	n := int(r.uint16("number of columns"))
	const least = 1 + 1 + 4 + 4 // flags, the end of an empty name, type, modifier
	if left := len(msg) - r.pos; n*least > left {
		r.fail(at, "%d columns take at least %d bytes, %d are left", n, n*least, left)
	}
	if r.err != nil {
		return r.err
	}
	rel.Columns = make([]RelationColumn, n)
	for i := range rel.Columns {
		c := &rel.Columns[i]
		c.Replicated = r.flags("column flags", identity) != 0
		c.Name = name("column name")
		c.TypeOID = r.uint32("column type")
		c.Modifier = int32(r.uint32("column modifier"))
	}
	if err := r.done(); err != nil {
		return err
	}
	d.Relation = rel
	return nil
}

func (d *Decoder) typ(msg []byte) *Error {
	r := read(msg)
	d.Type.XID = r.xid(d.inStream)
	d.Type.OID = r.uint32("type")
	d.Type.Schema = schema(string(r.cstring("schema")))
	d.Type.Name = string(r.cstring("name"))
	return r.done()
}

// schema spells out pg_catalog, which is sent as the empty string.
func schema(s string) string {
	if s == "" {
		return "pg_catalog"
	}
	return s
}
