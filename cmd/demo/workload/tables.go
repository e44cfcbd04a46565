package workload

import (
	"fmt"
	"strconv"
)

// table is one table: how its keys and values are made.
type table struct {
	name    string
	key     []string                 // key columns
	newKey  func(w *worker) []string // a key that was never used, as literals
	columns []column                 // the others
	weight  int                      // share of the work
	// large are columns whose values live outside the row (TOAST). The log does
	// not carry such a value when an update leaves it alone, not even when the row
	// moves to another key; so a key change sets them, unless full.
	large []string
	full  bool // REPLICA IDENTITY FULL: the log carries all old values
}

// column is one column outside the key.
type column struct {
	name  string
	value func(*random) string // an SQL literal
	null  float64              // probability of NULL
	use   func(*worker) bool   // nil: always
}

// definitions are the statements that create the tables.
func definitions() []string {
	return []string{
		`CREATE TYPE tier AS ENUM ('basic', 'silver', 'gold')`,
		`CREATE TYPE order_status AS ENUM ('new', 'paid', 'shipped', 'on its way', 'returned')`,
		`CREATE TABLE customers (
			id bigint PRIMARY KEY,
			email varchar(120) NOT NULL,
			name text,
			tier tier DEFAULT 'basic',
			active boolean NOT NULL DEFAULT true,
			born date,
			balance numeric(12,2) NOT NULL DEFAULT 0,
			rating real,
			tags text[],
			settings jsonb)`,
		`CREATE TABLE products (
			sku uuid PRIMARY KEY,
			name text NOT NULL,
			price numeric(10,3) NOT NULL,
			weight double precision,
			dimensions integer[],
			barcode char(13),
			photo bytea,
			opens time,
			spec json,
			stock smallint NOT NULL DEFAULT 0)`,
		`CREATE TABLE orders (
			id integer PRIMARY KEY,
			customer_id bigint NOT NULL,
			status order_status NOT NULL DEFAULT 'new',
			placed timestamp NOT NULL,
			shipped timestamptz,
			total numeric(12,2),
			note varchar(200),
			coupon text)`,
		`CREATE TABLE order_items (
			order_id integer,
			line smallint,
			quantity integer NOT NULL,
			price numeric(10,2) NOT NULL,
			discount real,
			gift boolean,
			PRIMARY KEY (order_id, line))`,
		`CREATE TABLE documents (
			id bigint PRIMARY KEY,
			title text NOT NULL,
			body text NOT NULL,
			attachment bytea,
			revision integer NOT NULL DEFAULT 1)`,
		`ALTER TABLE documents ALTER body SET STORAGE EXTERNAL, ALTER attachment SET STORAGE EXTERNAL`,
		`CREATE TABLE events (
			id bigint PRIMARY KEY,
			kind varchar(20) NOT NULL,
			payload text,
			at timestamp(3) NOT NULL,
			level integer)`,
		`ALTER TABLE events ALTER payload SET STORAGE EXTERNAL, REPLICA IDENTITY FULL`,
		`CREATE TABLE measurements (
			id bigint PRIMARY KEY,
			amount numeric,
			value double precision,
			small real,
			day date,
			at time(3),
			local timestamp(6),
			zoned timestamptz NOT NULL,
			flags boolean[],
			ids uuid[],
			counts bigint[])`,
	}
}

// tables are the tables that definitions creates.
func tables() []*table {
	return []*table{
		{
			name: "customers", key: []string{"id"}, newKey: serial, weight: 15,
			columns: []column{
				{name: "email", value: func(r *random) string { return quote(fmt.Sprintf("user%d@example.com", r.IntN(1e6))) }},
				{name: "name", value: (*random).text, null: 0.1},
				{name: "tier", value: oneOf("basic", "silver", "gold"), null: 0.1, use: (*worker).lacksLabel},
				{name: "tier", value: oneOf("basic", "silver", "gold", "platinum"), null: 0.1, use: (*worker).usesLabel},
				{name: "active", value: (*random).boolean},
				{name: "born", value: (*random).date, null: 0.2},
				{name: "balance", value: decimal(10, 2)},
				{name: "rating", value: (*random).float4, null: 0.2},
				{name: "tags", value: array("text", (*random).text), null: 0.2},
				{name: "settings", value: (*random).jsonb, null: 0.2},
			},
		},
		{
			name: "products", key: []string{"sku"}, newKey: func(w *worker) []string { return []string{w.uuid()} }, weight: 10,
			columns: []column{
				{name: "name", value: (*random).text},
				{name: "price", value: decimal(7, 3)},
				{name: "weight", value: (*random).float8, null: 0.1},
				{name: "dimensions", value: array("integer", (*random).integer), null: 0.1},
				{name: "barcode", value: func(r *random) string { return quote(r.digits(r.IntN(14))) }, null: 0.1},
				{name: "photo", value: func(r *random) string { return r.bytes(r.IntN(200)) }, null: 0.2},
				{name: "opens", value: (*random).time, null: 0.2},
				{name: "spec", value: (*random).json, null: 0.2},
				{name: "stock", value: func(r *random) string { return strconv.Itoa(r.IntN(1<<16) - 1<<15) }},
			},
		},
		{
			name: "orders", key: []string{"id"}, newKey: serial, weight: 30,
			columns: []column{
				{name: "customer_id", value: (*random).bigint},
				{name: "status", value: oneOf("new", "paid", "shipped", "on its way", "returned")},
				{name: "placed", value: (*random).timestamp},
				{name: "shipped", value: (*random).timestamptz, null: 0.3},
				{name: "total", value: decimal(10, 2), null: 0.1},
				{name: "note", value: (*random).text, null: 0.3},
				{name: "coupon", value: (*random).text, null: 0.5, use: (*worker).usesCoupon},
				{name: "channel", value: oneOf("web", "shop", "phone"), null: 0.2, use: (*worker).usesChannel},
			},
		},
		{
			name: "order_items", key: []string{"order_id", "line"}, weight: 25,
			newKey: func(w *worker) []string {
				n := w.next("order_items")
				return []string{strconv.FormatInt(n/3, 10), strconv.FormatInt(n%3*int64(w.of.cfg.Workers)+int64(w.index), 10)}
			},
			columns: []column{
				{name: "quantity", value: func(r *random) string { return strconv.Itoa(r.IntN(100)) }},
				{name: "price", value: decimal(8, 2)},
				{name: "discount", value: (*random).float4, null: 0.5},
				{name: "gift", value: (*random).boolean, null: 0.3},
			},
		},
		{
			name: "documents", key: []string{"id"}, newKey: serial, weight: 5, large: []string{"body", "attachment"},
			columns: []column{
				{name: "title", value: (*random).text},
				{name: "body", value: (*random).large},
				{name: "attachment", value: func(r *random) string { return r.bytes(3000 + r.IntN(3000)) }, null: 0.5},
				{name: "revision", value: (*random).integer},
			},
		},
		{
			name: "events", key: []string{"id"}, newKey: serial, weight: 7, large: []string{"payload"}, full: true,
			columns: []column{
				{name: "kind", value: oneOf("login", "logout", "click", "näkymä")},
				{name: "payload", value: (*random).large, null: 0.4},
				{name: "at", value: (*random).timestamp},
				{name: "level", value: (*random).integer, null: 0.2},
			},
		},
		{
			name: "measurements", key: []string{"id"}, newKey: serial, weight: 8,
			columns: []column{
				{name: "amount", value: (*random).numeric, null: 0.1},
				{name: "value", value: (*random).float8, null: 0.1},
				{name: "small", value: (*random).float4, null: 0.1},
				{name: "day", value: (*random).date, null: 0.1},
				{name: "at", value: (*random).time, null: 0.1},
				{name: "local", value: (*random).timestamp, null: 0.1},
				{name: "zoned", value: (*random).timestamptz},
				{name: "flags", value: array("boolean", (*random).boolean), null: 0.2},
				{name: "ids", value: array("uuid", (*random).uuid), null: 0.2},
				{name: "counts", value: array("bigint", (*random).bigint), null: 0.2},
			},
		},
	}
}
