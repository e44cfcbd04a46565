package oracle

import (
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
	// applies tells whether a disparity that seeds make is this one; nil: seeds do
	// not make it, and proof says what shows it.
	applies func(*disparity) bool
	proof   string
}

// find is the row of the table that a disparity belongs to.
func find(d *disparity) *wanted {
	list := allWanted
	for i := range list {
		if list[i].applies != nil && list[i].applies(d) {
			return &list[i]
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

var columnKind = regexp.MustCompile(`^(?:before|after)\.[a-z]+\d*_(.+)$`)

// allWanted is the table.
var allWanted = []wanted{
	{
		kind: "NULL in an array of ltree or of an enum", letter: "b",
		debezium: "The whole array is null.",
		ours:     "The array, with null in it.",
		applies: func(d *disparity) bool {
			return inColumn(d, "ltree_a", "mood_a") && d.their == "=null " && strings.Contains(d.our, "]=null")
		},
	},
	{
		kind: "BC, infinite and Gregorian-gap dates in a snapshot", letter: "b",
		debezium: "A date before Christ loses its era, an infinite one is another number than in the stream, one of October 5 to 14, 1582, is ten days off.",
		ours:     "What the stream has.",
		applies: func(d *disparity) bool {
			return inColumn(d, "date") && d.theirs.snapshot()
		},
	},
	{
		kind: "Generated columns in a snapshot", letter: "b",
		debezium: "Snapshot records have the column; streamed ones do not, unless the publication has it. Two schemas alternate.",
		ours:     "The column is there if the publication has it, in both.",
		applies: func(d *disparity) bool {
			return d.theirs != nil && d.theirs.snapshot() && (inColumn(d, "int4") && d.path == "after.gen_int4" && d.our == "" ||
				d.part == "value schema" && d.theirs.value.get("after.gen_int4") != "" && withoutGenerated(d.theirs.value.schema) == d.ours.value.schema)
		},
	},
	{
		kind: "A type name, as a column", letter: "b",
		debezium: "Streamed values are null.",
		ours:     "The value.",
		applies: func(d *disparity) bool {
			return inColumn(d, "name") && !d.theirs.snapshot() && d.their == "=null "
		},
	},
	{
		kind: "Arrays of time", letter: "b",
		debezium: "Elements lose what is below milliseconds.",
		ours:     "The elements as they are.",
		applies: func(d *disparity) bool {
			return inColumn(d, "time_a") && sameToMillis(d.our, d.their)
		},
	},
	{
		kind: "Order of the tables in an END record", letter: "c",
		debezium: "The order of a Java hash table; logical messages stand under the identity of a Java object.",
		ours:     "The order of their first changes; logical messages stand under message.",
		applies: func(d *disparity) bool {
			return d.part == "value" && d.path == "data_collections" && sortedItems(d.our) == sortedItems(d.their)
		},
	},
	{
		kind: "Tombstones without a key", letter: "b",
		debezium: "A delete in a table without a key is followed by a record without key and value.",
		ours:     "No such record.",
		applies: func(d *disparity) bool {
			return d.part == "record" && d.ours == nil && d.theirs.key == nil && d.theirs.value == nil
		},
	},
}

// generatedField is a column gen_int4 in the text of a schema.
const generatedField = `{"name":"gen_int4","type":["null","int"],"default":null}`

func withoutGenerated(schema string) string {
	return strings.Replace(strings.Replace(schema, generatedField+",", "", 1), ","+generatedField, "", 1)
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
