package oracle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// wanted is a difference from Debezium that we want. The table of these is
// complete: a difference that is not in it fails the seed.
type wanted struct {
	kind   string // the case; unique
	letter string // a: Debezium's task ends; b: it loses, invents or garbles a value, key or record; c: Java's identities and hash orders; d: its clock
	// debezium is what it does, ours what the relay does under format.compat: debezium.
	debezium, ours string
	// applies tells whether a disparity that seeds make, outside of schemas, is this
	// one; inSchema whether it is in schemas' texts, too. Golden names the cases of
	// test/golden that show it.
	applies  func(*disparity) bool
	inSchema schemaStep
	golden   []string
}

// find gives the rows of the table that explain a disparity; none: nobody wants it.
func find(d *disparity) []*wanted {
	list := wantedDifferences()
	if d.part == "key schema" || d.part == "value schema" {
		return explainSchema(d, list)
	}
	for _, w := range list {
		if w.applies != nil && w.applies(d) {
			return []*wanted{w}
		}
	}
	return nil
}

// inColumn tells whether a disparity is in a value's column of one of the kinds.
func inColumn(d *disparity, kinds ...string) bool {
	if d.part != "value" || d.ours == nil || d.theirs == nil {
		return false
	}
	m := columnKind.FindStringSubmatch(d.path)
	return m != nil && slices.Contains(kinds, m[1])
}

var columnKind = regexp.MustCompile(`^(?:before|after)\.[a-z]+\d*_+(.+)$`)

// wantedDifferences is the table of all differences that we want.
func wantedDifferences() []*wanted {
	return []*wanted{
		{
			kind: "NULL in an array of an enum, of ltree or of a domain", letter: "b",
			debezium: "The whole array is null.",
			ours:     "The array, with null in it. Where the schema's items could not be null, they can be from that row on.",
			applies: func(d *disparity) bool {
				return inColumn(d, "ltree_a", "mood_a", "age_a", "code_a", "sale_a", "pair_a") && d.their == "=null " && strings.Contains(d.our, "]=null")
			},
			inSchema: nullableItems,
			golden:   []string{"enum_array_null", "enums"},
		},
		{
			kind: "Labels added to an enum", letter: "b",
			debezium: "`allowed` has a new label when any table had a row with it; then the schemas of all tables change, each at its next row.",
			ours:     "`allowed` has a new label from the table's first row with it on, or from the next change of the table's definition.",
			inSchema: labels,
		},
		{
			kind: "Dates before Christ, infinite ones, and those of October 5 to 14, 1582, in a snapshot", letter: "b",
			debezium: "Dates before Christ lose their era, infinite ones are other numbers than in the stream, those of 1582 are ten days off.",
			ours:     "What the stream has.",
			applies:  func(d *disparity) bool { return inColumn(d, "date") && d.theirs.snapshot() },
			golden:   []string{"timestamp_far"},
		},
		{
			kind: "Generated columns in a snapshot", letter: "b",
			debezium: "Snapshot records have the column. Streamed ones do not, unless the publication has it: two schemas alternate.",
			ours:     "The column is there if the publication has it, in both.",
			applies: func(d *disparity) bool {
				return inColumn(d, "int4") && d.path == "after.gen_int4" && d.theirs.snapshot() && d.our == ""
			},
			inSchema: generatedField,
		},
		{
			kind: "Source types of numeric without a precision in a snapshot", letter: "b",
			debezium: "With `column.propagate.source.type`, snapshot records say length 0 and no scale, streamed ones 131089 and 0.",
			ours:     "What the stream has.",
			inSchema: freeNumeric,
		},
		{
			kind: "Columns of type name", letter: "b",
			debezium: "Streamed values are null.",
			ours:     "The value.",
			applies:  func(d *disparity) bool { return inColumn(d, "name") && !d.theirs.snapshot() && d.their == "=null " },
			golden:   []string{"char_padding", "unusual_types", "unusual_types_stream"},
		},
		{
			kind: "Arrays of time", letter: "b",
			debezium: "Elements lose what is below milliseconds.",
			ours:     "Elements as they are.",
			applies:  func(d *disparity) bool { return inColumn(d, "time_a") && sameToMillis(d.our, d.their) },
			golden:   []string{"arrays"},
		},
		{
			kind: "24:00 as a time", letter: "b",
			debezium: "`time.precision.mode=isostring` makes it 00:00:00, `structured` makes it null.",
			ours:     "24:00:00; hour 24.",
			applies: func(d *disparity) bool {
				return inColumn(d, "time") && (d.our == `="24:00:00Z" ` && d.their == `="00:00:00Z" ` || strings.HasPrefix(d.our, ".hour=24 .minute=0 .second=0 ") && d.their == "=null ")
			},
			golden: []string{"time_24_isostring", "time_24_structured"},
		},
		{
			kind: "Hashed columns whose source type is told", letter: "b",
			debezium: "A column that both `column.mask.hash…` and `column.propagate.source.type` name is written as it is.",
			ours:     "It is hashed. The schema says so, and does not tell the source type.",
			applies: func(d *disparity) bool {
				return inColumn(d, "text", "varchar", "varchar9", "char5") && hashedName.MatchString(d.path) && hashOf(d.their, d.our)
			},
			inSchema: hashedField,
		},
		{
			kind: "Tables made later whose storage was written anew", letter: "b",
			debezium: "Rows that a table got while it was UNLOGGED never come.",
			ours:     "Such a table is read once (`op` r). It cannot be told from one that a TRUNCATE or an ALTER COLUMN … TYPE wrote anew before the relay saw it, so that one is read once, too.",
			applies: func(d *disparity) bool {
				return d.part == "record" && d.theirs == nil && d.rewritten && d.ours.snapshot()
			},
		},
		{
			kind: "Masked citext", letter: "b",
			debezium: "`column.mask.with.N.chars` and its kin leave columns of citext as they are.",
			ours:     "They are masked.",
			applies: func(d *disparity) bool {
				return inColumn(d, "citext") && d.our == `="*******" `
			},
		},
		{
			kind: "Dates in the headers of a key change", letter: "b",
			debezium: "With `time.precision.mode=connect`, `__debezium.newkey` and `__debezium.oldkey` have 00:00:00.000Z for any date.",
			ours:     "The date.",
			applies: func(d *disparity) bool {
				return d.part == "headers" && keyDate.ReplaceAllString(d.our, `_date":00:00:00.000Z`) == d.their
			},
		},
		{
			kind: "Tombstones without a key", letter: "b",
			debezium: "A delete in a table without a key is followed by a record without key and value.",
			ours:     "No such record.",
			applies: func(d *disparity) bool {
				return d.part == "record" && d.ours == nil && d.theirs.key == nil && d.theirs.value == nil
			},
			golden: []string{"delete_no_pk"},
		},
		{
			kind: "Keys that the server does not send", letter: "b",
			debezium: "Under REPLICA IDENTITY USING INDEX beside a primary key, and with `message.key.columns`, the old row lacks the key's columns: deletes and moves carry keys of zeros and empty texts.",
			ours:     "The key of the new row; a delete whose key is not known is a dead letter that says so.",
			golden:   []string{"identity_using_index", "custom_key"},
		},
		{
			kind: "Key columns that `column.exclude.list` names", letter: "b",
			debezium: "The key has null, a zero or an empty text in the column's place; at some rows the task ends.",
			ours:     "The key keeps the column, the value does not have it.",
		},
		{
			kind: "Arrays of more than one dimension", letter: "b",
			debezium: "Nulls, or the names of Java objects, in place of the inner arrays.",
			ours:     "The text of each inner array.",
			golden:   []string{"array_dims", "array_dims_snapshot"},
		},
		{
			kind: "Arrays of bit(n)", letter: "b",
			debezium: "A field of bytes that is always null.",
			ours:     "An array of bits.",
			golden:   []string{"unusual_types", "unusual_types_stream", "unusual_types_unknown", "unusual_types_unknown_hex"},
		},
		{
			kind: "Partitions in a snapshot", letter: "b",
			debezium: "Each row is read twice, as a row of the partitioned table and of its partition.",
			ours:     "Once, into the topic that the stream uses.",
			golden:   []string{"partitions_child", "partitions_root", "partitions_root_option"},
		},
		{
			kind: "A backlog of a table that has changed, or is dropped", letter: "b",
			debezium: "Rows are described by what the catalog says when they are read: keys, nullability and defaults of another time, null keys for a dropped table.",
			ours:     "Rows have the keys, nullability and defaults of their time.",
			golden:   []string{"dropped_table"},
		},
		{
			kind: "Values that a number cannot hold", letter: "b",
			debezium: "Intervals beyond 64 bits of microseconds become the greatest number, timestamps beyond 294246 another time, decimals beyond a double infinity; timestamps beyond 64 bits of nanoseconds become null.",
			ours:     "The change is a dead letter with the column, its value and the reason.",
		},
		{
			kind: "NaN and infinities in a NOT NULL decimal", letter: "a",
			debezium: "The task ends.",
			ours:     "Null, in a field that may be null from that row on.",
			golden:   []string{"numeric_nan_precise_notnull"},
		},
		{
			kind: "Unchanged out-of-line values of NOT NULL columns", letter: "a",
			debezium: "The task ends, where the type has no placeholder: numeric, most arrays, dates in arrays unless they are numbers, bytea in base64, its arrays in any text form.",
			ours:     "Null, in a field that may be null from that row on, and the column in `tailrace.unavailable`.",
		},
		{
			kind: "NOT NULL timestamps that an old row lacks, in nanoseconds", letter: "a",
			debezium: "The task ends at a delete or a key change.",
			ours:     "0, as for other numbers.",
		},
		{
			kind: "A generated column beside an enum", letter: "a",
			debezium: "A row with an enum has it read the columns from the catalog again, the generated one included, and take the values behind it for those of other columns. The task ends, or the values are exchanged.",
			ours:     "Values under their columns.",
		},
		{
			kind: "bytea_output other than hex", letter: "a",
			debezium: "Streamed values are garbled, or the task ends.",
			ours:     "The value.",
			golden:   []string{"bytea_output_escape"},
		},
		{
			kind: "Names that Avro refuses", letter: "a",
			debezium: "The task ends, unless names are adjusted by configuration.",
			ours:     "The name is adjusted.",
			golden:   []string{"illegal_avro_name"},
		},
		{
			kind: "hstore with several keys", letter: "c",
			debezium: "The order of a Java hash table.",
			ours:     "The server's order.",
			golden:   []string{"hstore_json", "hstore_map", "hstore_order", "hstore_map_order"},
		},
		{
			kind: "Order and names in an END record", letter: "c",
			debezium: "Tables stand in the order of a Java hash table, logical messages under the identity of a Java object.",
			ours:     "The order of their first changes; messages stand under `message`.",
			applies: func(d *disparity) bool {
				return d.part == "value" && d.path == "data_collections" && sortedItems(d.our) == sortedItems(d.their)
			},
			golden: []string{"message_tx"},
		},
		{
			kind: "Clocks and versions", letter: "d",
			debezium: "`ts_ms`, `ts_us`, `ts_ns` outside of `source` are when it handled the record; `source.version` is its own; a snapshot's `lsn`, `txId` and times are where it took it.",
			ours:     "Its own, likewise.",
		},
	}
}

// belowMillis is what a time of day has below its milliseconds: digits of a
// fraction in a text, or of a number of nanoseconds or microseconds.
var (
	belowMillis   = regexp.MustCompile(`(\.\d{1,3})\d*Z`)
	numberInArray = regexp.MustCompile(`=(\d+)`)
)

// sameToMillis tells whether two arrays of times are equal to the millisecond, as
// texts, nanoseconds or microseconds.
func sameToMillis(a, b string) bool {
	for _, unit := range []int64{1e6, 1e3} {
		if cutToMillis(a, unit) == cutToMillis(b, unit) {
			return true
		}
	}
	return false
}

func cutToMillis(text string, unit int64) string {
	text = belowMillis.ReplaceAllStringFunc(text, func(s string) string {
		s = strings.TrimRight(belowMillis.FindStringSubmatch(s)[1], "0")
		return strings.TrimSuffix(s, ".") + "Z"
	})
	return numberInArray.ReplaceAllStringFunc(text, func(s string) string {
		n, _ := strconv.ParseInt(s[1:], 10, 64) // digits by the pattern
		return "=" + strconv.FormatInt(n/unit*unit, 10)
	})
}

// hashedName is a column that the options name for a hash.
var hashedName = regexp.MustCompile(`\.c[0-9]*3_`)

// hashOf tells whether hashed is what a column has in place of text.
func hashOf(text, hashed string) bool {
	var value, hash string
	if _, err := fmt.Sscanf(text+" "+hashed, "=%q =%q", &value, &hash); err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(hashSalt + value))
	return len(hash) > 0 && strings.HasPrefix(hex.EncodeToString(sum[:]), hash)
}

// keyDate is a date in the text of a key.
var keyDate = regexp.MustCompile(`_date":\d{4}-\d{2}-\d{2}`)

var (
	collection    = regexp.MustCompile(`\.data_collection="[^"]*" \[\d+\]\.event_count=\d+`)
	messageObject = regexp.MustCompile(`"io\.debezium\.[^"]*LogicalDecodingMessageId@[0-9a-f]+"`)
	itemIndex     = regexp.MustCompile(`\[\d+\]`)
)

func sortedItems(text string) string {
	text = messageObject.ReplaceAllString(text, `"message"`)
	list := collection.FindAllString(text, -1)
	for i := range list {
		list[i] = itemIndex.ReplaceAllString(list[i], "[]")
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}
