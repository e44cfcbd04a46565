package rehearsal

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// ParseTable reads what stands between the parentheses of CREATE TABLE, as far as a
// rehearsal needs it: names, types, NOT NULL and the primary key.
//
//	id bigint primary key, total numeric(10,2) not null, tags text[]
//	shop int, no int, note text, primary key (shop, no)
func ParseTable(name, definition string) (*cdc.Table, error) {
	schema, table, ok := strings.Cut(name, ".")
	if !ok || schema == "" || table == "" {
		return nil, fmt.Errorf("want schema.table, found %q", name)
	}
	t := &cdc.Table{Schema: schema, Name: table, Identity: cdc.IdentityFull, Facts: true}
	for _, part := range split(definition) {
		if m := keyClause.FindStringSubmatch(part); m != nil {
			for column := range strings.SplitSeq(m[1], ",") {
				at := slices.IndexFunc(t.Columns, func(c cdc.Column) bool { return c.Name == unquote(column) })
				if at < 0 {
					return nil, fmt.Errorf("there is no column %s for the primary key", strings.TrimSpace(column))
				}
				t.Key = append(t.Key, at)
			}
			continue
		}
		c, key, err := parseColumn(part)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(t.Columns, func(d cdc.Column) bool { return d.Name == c.Name }) {
			return nil, fmt.Errorf("two columns are named %s", c.Name)
		}
		if key {
			t.Key = append(t.Key, len(t.Columns))
		}
		t.Columns = append(t.Columns, c)
	}
	if len(t.Columns) == 0 {
		return nil, errors.New("want at least one column, as in id bigint primary key")
	}
	for _, k := range t.Key {
		t.Columns[k].NotNull = true
	}
	return t, nil
}

// split cuts at the commas outside of parentheses.
func split(s string) []string {
	var parts []string
	depth, start := 0, 0
	for i, r := range s + "," {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == ',' && depth == 0:
			if part := strings.TrimSpace(s[start:min(i, len(s))]); part != "" {
				parts = append(parts, part)
			}
			start = i + 1
		}
	}
	return parts
}

var (
	keyClause  = regexp.MustCompile(`(?is)^primary\s+key\s*\((.*)\)$`)
	columnText = regexp.MustCompile(`(?is)^("(?:[^"]|"")+"|[^\s"]+)\s+(.*)$`)
	suffix     = regexp.MustCompile(`(?is)\s+(not\s+null|primary\s+key|null)$`)
	typeText   = regexp.MustCompile(`(?is)^([a-z][a-z0-9_ ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*(\[\])?$`)
)

func unquote(s string) string {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, `"`) {
		return strings.ReplaceAll(strings.Trim(s, `"`), `""`, `"`)
	}
	return strings.ToLower(s)
}

func parseColumn(s string) (c cdc.Column, key bool, err error) {
	m := columnText.FindStringSubmatch(s)
	if m == nil {
		return c, false, fmt.Errorf("want a column and its type, found %q", s)
	}
	c.Name, c.Replicated = unquote(m[1]), true
	rest := m[2]
	for {
		end := suffix.FindStringSubmatchIndex(rest)
		if end == nil {
			break
		}
		switch strings.ToLower(rest[end[2]:end[2]+1] + "") {
		case "p":
			key = true
		case "n":
			c.NotNull = c.NotNull || strings.HasPrefix(strings.ToLower(rest[end[2]:end[3]]), "not")
		}
		rest = rest[:end[0]]
	}
	c.Type, c.Modifier, err = parseType(rest)
	if err != nil {
		err = fmt.Errorf("column %s: %w", c.Name, err)
	}
	return c, key, err
}

// typeNames are pg_type's names of what people write.
var typeNames = map[string]string{
	"smallint": "int2", "integer": "int4", "int": "int4", "bigint": "int8", "real": "float4", "double precision": "float8",
	"decimal": "numeric", "boolean": "bool", "character varying": "varchar", "character": "bpchar", "char": "bpchar",
	"timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz", "time without time zone": "time", "time with time zone": "timetz",
}

// knownTypes are those that need nothing else from a catalog.
var knownTypes = []string{
	"int2", "int4", "int8", "float4", "float8", "numeric", "bool", "text", "varchar", "bpchar", "bytea", "date", "time", "timetz",
	"timestamp", "timestamptz", "interval", "uuid", "json", "jsonb", "xml", "inet", "cidr", "macaddr", "oid", "money", "bit", "varbit",
}

func parseType(s string) (t *cdc.Type, modifier int32, err error) {
	m := typeText.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return nil, -1, fmt.Errorf("want a type, found %q", s)
	}
	name := strings.Join(strings.Fields(strings.ToLower(m[1])), " ")
	if n := typeNames[name]; n != "" {
		name = n
	}
	if !slices.Contains(knownTypes, name) {
		return nil, -1, fmt.Errorf("type %s is not known here; text stands for a type of your own", name)
	}
	modifier = -1
	if m[2] != "" {
		first, err1 := strconv.ParseInt(m[2], 10, 16)
		second := int64(0)
		var err2 error
		if m[3] != "" {
			second, err2 = strconv.ParseInt(m[3], 10, 16)
		}
		if err1 != nil || err2 != nil {
			return nil, -1, fmt.Errorf("the numbers of type %s are too large", name)
		}
		const header = 4 // VARHDRSZ
		switch name {
		case "numeric":
			modifier = int32(first<<16|second) + header
		case "varchar", "bpchar":
			modifier = int32(first) + header
		default:
			modifier = int32(first)
		}
	}
	t = &cdc.Type{Schema: "pg_catalog", Name: name, Kind: cdc.KindBase, BaseModifier: -1}
	if m[4] != "" {
		t = &cdc.Type{Schema: "pg_catalog", Name: "_" + name, Kind: cdc.KindArray, Elem: t, BaseModifier: -1}
	}
	return t, modifier, nil
}
