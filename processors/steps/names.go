package steps

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// names are what an expression can begin with.
var names = []string{"row", "before", "after", "op", "source", "position"}

func (c *compiler) identifier(n *ast.IdentifierNode) (eval, typ) {
	for i := len(c.vars) - 1; i >= 0; i-- {
		if v := c.vars[i]; v.name == n.Value {
			return func(s *scope) value { return s.vars[v.slot] }, v.typ
		}
	}
	switch n.Value {
	case "op":
		c.program.event = true
		letters := map[cdc.Op]value{}
		for _, op := range []cdc.Op{cdc.OpRead, cdc.OpCreate, cdc.OpUpdate, cdc.OpDelete, cdc.OpTruncate} {
			letters[op] = text(op.String())
		}
		return func(s *scope) value { return letters[s.change.Op] }, typ{kind: kindText}
	case "position":
		c.program.event = true
		return func(s *scope) value { return text(s.change.Position.String()) }, typ{kind: kindText}
	case "row", "before", "after":
		c.fault(n, "%s is a row: name a column of it, as in %s.%s, or %s[\"a name\"]", n.Value, n.Value, c.anyColumn(), n.Value)
	case "source":
		c.fault(n, "source is a record: name a field of it, one of %s", strings.Join(sourceFields(), ", "))
	}
	c.fault(n, "unknown name %s%s", n.Value, near(n.Value, names))
	return nil, typ{}
}

func (c *compiler) anyColumn() string {
	if c.shape != nil && len(c.shape.Columns) > 0 {
		return c.shape.Columns[0].Name
	}
	return "id"
}

// member is a column, a field of source, or something inside a value.
func (c *compiler) member(n *ast.MemberNode) (eval, typ) {
	if id, ok := n.Node.(*ast.IdentifierNode); ok && !c.isVariable(id.Value) {
		name, isText := n.Property.(*ast.StringNode)
		switch id.Value {
		case "row", "before", "after":
			if !isText {
				c.fault(n.Property, "a column is named as in row.%s or row[\"a name\"]", c.anyColumn())
			}
			return c.column(n, id.Value, name.Value, n.Optional)
		case "source":
			if !isText {
				c.fault(n.Property, "a field of source is named as in source.table")
			}
			return c.source(n, name.Value)
		}
	}
	of, t := c.node(n.Node)
	by, bt := c.node(n.Property)
	switch {
	case t.kind == kindAny, t.kind == kindObject, t.kind == kindNull:
	case t.kind == kindList && (bt.kind == kindInt || bt.kind == kindAny):
		return func(s *scope) value { return inside(of(s), by(s)) }, typ{kind: t.elem}
	case t.kind == kindText && bt.kind == kindText:
		c.fault(n, "%s has no fields; of a column of type json, json(…) gives what is inside", t)
	default:
		c.fault(n, "%s has nothing inside that %s could name", t, bt)
	}
	return func(s *scope) value { return inside(of(s), by(s)) }, typ{kind: kindAny}
}

func (c *compiler) isVariable(name string) bool {
	return slices.ContainsFunc(c.vars, func(v variable) bool { return v.name == name })
}

// inside is an element of a list, from 0 or back from -1, or the field of an
// object; null when there is none.
func inside(v, by value) value {
	switch l := v.list(); {
	case v.kind == kindList && by.kind == kindInt:
		i := by.n
		if i < 0 {
			i += int64(len(l))
		}
		if i >= 0 && i < int64(len(l)) {
			return l[i]
		}
	case v.kind == kindObject && by.kind == kindText:
		return v.x.(map[string]value)[string(by.b)]
	}
	return value{}
}

// column compiles the access to a column of a row.
func (c *compiler) column(n ast.Node, of, name string, optional bool) (eval, typ) {
	if c.shape == nil {
		c.fault(n, "a change of a table as a whole has no rows")
	}
	at := slices.IndexFunc(c.shape.Columns, func(col sinks.Column) bool { return col.Name == name })
	if at < 0 {
		if optional {
			return constant(value{}), typ{kind: kindNull}
		}
		var all []string
		for _, col := range c.shape.Columns {
			all = append(all, col.Name)
		}
		c.fault(n, "there is no column %q%s", name, near(name, all))
	}
	read, t := reader(&c.shape.Columns[at])
	switch of {
	case "before":
		c.program.old = true
		return func(s *scope) value { return s.column(s.change.Before, at, true, read) }, t
	case "after":
		c.program.after = true
		return func(s *scope) value { return s.column(s.change.After, at, false, read) }, t
	}
	if !slices.Contains(c.program.columns, at) {
		c.program.columns = append(c.program.columns, at)
	}
	return func(s *scope) value {
		v := s.row.Values[at]
		if v.State == cdc.Text {
			return read(s, v.Data)
		}
		if v.State == cdc.Null {
			return value{}
		}
		return s.fail(&processors.UnavailableError{Column: s.row.Columns.Columns[at].Name, Old: v.State == cdc.Absent})
	}, t
}

// column reads a column of the named one of the two rows. Where there is no such
// row its columns are null; where the record does not carry it they are not known.
func (s *scope) column(r processors.Row, at int, old bool, read func(*scope, []byte) value) value {
	if !r.Exists() {
		if op := s.change.Op; old && op == cdc.OpUpdate {
			return s.fail(&processors.UnavailableError{Column: s.row.Columns.Columns[at].Name, Old: true})
		}
		return value{}
	}
	switch v := r.Values[at]; v.State {
	case cdc.Text:
		return read(s, v.Data)
	case cdc.Null:
		return value{}
	default:
		return s.fail(&processors.UnavailableError{Column: r.Columns.Columns[at].Name, Old: v.State == cdc.Absent})
	}
}

// sourceField is a field of source.
type sourceField struct {
	kind kind
	get  func(*processors.SourceInfo) value
}

var sources = map[string]sourceField{
	"name":     {kindText, func(s *processors.SourceInfo) value { return text(s.Origin.Name) }},
	"db":       {kindText, func(s *processors.SourceInfo) value { return text(s.Origin.Database) }},
	"schema":   {kindText, func(s *processors.SourceInfo) value { return text(s.Origin.Schema) }},
	"table":    {kindText, func(s *processors.SourceInfo) value { return text(s.Origin.Table) }},
	"topic":    {kindText, func(s *processors.SourceInfo) value { return text(s.Origin.Topic) }},
	"snapshot": {kindText, func(s *processors.SourceInfo) value { return text(s.Snapshot) }},
	"lsn":      {kindInt, func(s *processors.SourceInfo) value { return integer(int64(s.LSN)) }},
	"txid":     {kindInt, func(s *processors.SourceInfo) value { return integer(s.TxID) }},
	"time":     {kindTimestampTZ, func(s *processors.SourceInfo) value { return instant(s.Time) }},
}

func sourceFields() []string {
	return []string{"name", "db", "schema", "table", "topic", "snapshot", "lsn", "txid", "time"}
}

func (c *compiler) source(n ast.Node, name string) (eval, typ) {
	f, ok := sources[name]
	if !ok {
		c.fault(n, "source has no field %s%s", name, near(name, sourceFields()))
	}
	c.program.event = true
	return func(s *scope) value { return f.get(&s.change.Source) }, typ{kind: f.kind}
}
