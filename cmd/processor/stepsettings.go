package main

// stepSettings is one step: exactly one of its kinds, and the tables that it is
// about.
type stepSettings struct {
	Filter  *string          `yaml:"filter" example:"row.amount > 10" doc:"Condition that rows of the sink meet. A row that stops meeting it is deleted there."`
	Project *projectSettings `yaml:"project" doc:"Chooses, renames and casts columns, or chooses another key."`
	Map     *mapSettings     `yaml:"map" doc:"Sets columns by expressions."`
	Mask    *maskSettings    `yaml:"mask" doc:"Hides values."`
	Route   *routeSettings   `yaml:"route" doc:"Sends changes to other tables or topics."`
	Flatten *flattenSettings `yaml:"flatten" doc:"Adds columns about the change, and decides about deletes, as Debezium's ExtractNewRecordState does."`
	Latest  *latestSettings  `yaml:"latest" doc:"Makes one row of all rows with one record key, or one value of an expression: the key, and a document of them."`
	Tables  []string         `yaml:"tables" example:"[public.orders]" doc:"Tables of the source, as schema.table with *, that the step is about; changes of others pass it by. None: all."`
}

type projectSettings struct {
	Keep   []string          `yaml:"keep" doc:"Columns that stay, by name or with *; the key's must be among them."`
	Drop   []string          `yaml:"drop" doc:"Columns that go, instead of keep."`
	Rename map[string]string `yaml:"rename" key:"column" doc:"New names, by the old ones."`
	Cast   map[string]string `yaml:"cast" key:"column" doc:"New types, as PostgreSQL calls them, by the new names: numeric(10,2), text, bigint."`
	Key    []string          `yaml:"key" doc:"Columns of another key, by the new names. It must identify a row, as the table's own does."`
}

type mapSettings struct {
	Set map[string]string `yaml:"set" key:"column" required:"true" example:"{total: row.amount * row.quantity}" doc:"Expressions by column, all of the row as it comes; a column that is not there is added."`
}

type maskSettings struct {
	Columns map[string]maskColumn `yaml:"columns" key:"column" required:"true" example:"{mail: {asterisks: 8}}" oneof:"true" doc:"How each column is hidden."`
}

type maskColumn struct {
	HMAC      *maskHMAC `yaml:"hmac" doc:"HMAC-SHA-256 in hexadecimal, the same as the relay's mask hash under the same key: equal values stay equal."`
	Asterisks *int      `yaml:"asterisks" min:"1" max:"1000" unit:"characters" doc:"So many asterisks, whatever the value is, nulls too."`
	Truncate  *int      `yaml:"truncate" min:"0" max:"1000000" unit:"characters" doc:"What is left of a text; of bytea, bytes."`
	Optional  bool      `yaml:"optional" default:"false" doc:"Rows of a version of the table that lacks the column pass; otherwise they are errors, since a renamed column would pass unmasked."`
}

type maskHMAC struct {
	KeyFile string `yaml:"key_file" required:"true" doc:"File that holds the secret key, of at least 16 characters."`
}

type routeSettings struct {
	Table   string   `yaml:"table" default:"" example:"'\"archive.\" + source.table'" doc:"Expression for the target table: a name, or schema.table. The table of the source if empty."`
	Topic   string   `yaml:"topic" default:"" doc:"Expression for the target topic, for sinks that have topics; also {topic} in sink.postgres.table."`
	Targets []string `yaml:"targets" doc:"All tables that table can give, where it reads columns: a TRUNCATE of the source's table goes to each."`
	Merge   bool     `yaml:"merge" default:"false" doc:"Several tables go to one target. A TRUNCATE of one, which would end the rows of all, is an error then."`
}

type flattenSettings struct {
	Deletes   string   `yaml:"deletes" default:"tombstone" enum:"tombstone|drop|rewrite" doc:"What becomes of a delete: it passes, is dropped, or becomes an update that sets __deleted."`
	AddFields []string `yaml:"add_fields" example:"[op, source.ts_ms]" doc:"Columns to add: op, pos, and of source name, db, schema, table, snapshot, lsn, txId, ts_ms."`
	Prefix    string   `yaml:"prefix" default:"__" doc:"Of the names of added columns: source.ts_ms becomes __source_ts_ms."`
}

type latestSettings struct {
	Table string            `yaml:"table" required:"true" example:"public.customer_documents" doc:"Target of the documents, as schema.table. Its columns are key and document."`
	Key   string            `yaml:"key" default:"" example:"row.customer_id" doc:"Expression for the key by which rows are gathered, of the row and its source; a row for which it is null is of no document. The record key if empty. Needs sink.kafka: rows go through the topic tailrace.<name>.entity to the owner of their key."`
	Keys  map[string]string `yaml:"keys" key:"table" example:"{public.orders: row.customer_id}" doc:"Expressions of single tables, by schema.table, instead of key."`
}
