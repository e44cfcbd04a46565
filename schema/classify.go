package schema

import "strconv"

const (
	millisecond = 1_000_000 // nanoseconds
	microsecond = 1_000
)

// classify finds what the values are in PostgreSQL.
func (n *node) classify(connectType, logical string) {
	switch n.typ {
	case avroBoolean:
		n.kind = KindBool
	case avroInt:
		n.kind = KindInt32
		if connectType == "int16" || connectType == "int8" {
			n.kind = KindInt16
		}
		n.classifyTime(logical)
	case avroLong:
		n.kind = KindInt64
		n.classifyTime(logical)
	case avroFloat:
		n.kind = KindFloat32
	case avroDouble:
		n.kind = KindFloat64
	case avroString:
		n.classifyString()
	case avroEnum:
		n.kind = KindEnum
	case avroFixed:
		n.kind = KindBytes
	case avroBytes:
		n.kind = KindBytes
		switch {
		case n.connect == decimalName, n.connect == "" && logical == "decimal":
			n.kind = KindDecimal
			if text, ok := n.params["scale"]; ok {
				n.scale, _ = strconv.Atoi(text)
			}
		case n.connect == "io.debezium.data.Bits":
			n.kind = KindBits
			n.size, _ = strconv.Atoi(n.params["length"])
		}
	case avroArray:
		n.kind = KindArray
		if v := formShapes[formVector].semantic; n.connect == v || n.connect == formShapes[formHalfvec].semantic {
			n.kind = KindVector
		}
	case avroMap:
		n.kind = KindOther
		if values := only(n.items); values.typ == avroString && values.connect == "" {
			n.kind = KindJSON
		}
	case avroRecord:
		n.kind = n.recordKind()
	default:
		n.kind = KindOther
	}
}

func (n *node) classifyTime(logical string) {
	long := n.typ == avroLong
	switch n.connect {
	case "io.debezium.time.Date", "org.apache.kafka.connect.data.Date":
		n.kind = KindDate
	case "io.debezium.time.Time":
		n.kind, n.unit = KindTime, millisecond
	case "org.apache.kafka.connect.data.Time":
		n.kind, n.unit = KindTime, millisecond
	case "io.debezium.time.MicroTime":
		n.kind, n.unit = KindTime, microsecond
	case "io.debezium.time.NanoTime":
		n.kind, n.unit = KindTime, 1
	case "io.debezium.time.Timestamp", "org.apache.kafka.connect.data.Timestamp":
		n.kind, n.unit = KindTimestamp, millisecond
	case "io.debezium.time.MicroTimestamp":
		n.kind, n.unit = KindTimestamp, microsecond
	case "io.debezium.time.NanoTimestamp":
		n.kind, n.unit = KindTimestamp, 1
	case "io.debezium.time.MicroDuration":
		n.kind, n.unit = KindInterval, microsecond
	case "":
		switch {
		case logical == "date" && !long:
			n.kind = KindDate
		case logical == "time-millis" && !long:
			n.kind, n.unit = KindTime, millisecond
		case logical == "timestamp-millis" && long:
			n.kind, n.unit = KindTimestamp, millisecond
		}
	}
}

func (n *node) classifyString() {
	n.kind, n.plain = KindString, true
	switch n.connect {
	case "io.debezium.data.Json":
		n.kind = KindJSON
	case "io.debezium.data.Xml":
		n.kind = KindXML
	case "io.debezium.data.Uuid":
		n.kind = KindUUID
	case "io.debezium.data.Enum":
		n.kind = KindEnum
	case "io.debezium.time.ZonedTimestamp":
		n.kind, n.plain = KindZonedTimestamp, false
	case "io.debezium.time.ZonedTime":
		n.kind, n.plain = KindZonedTime, false
	case "io.debezium.time.IsoDate":
		n.kind, n.plain = KindDate, false
	case "io.debezium.time.IsoTime":
		n.kind, n.plain = KindTime, false
	case "io.debezium.time.IsoTimestamp":
		n.kind, n.plain = KindTimestamp, false
	case "io.debezium.time.Interval":
		n.kind, n.plain = KindInterval, false
	}
}

// recordKind recognises Debezium's records, as far as they have the fields that
// reading them takes.
func (n *node) recordKind() Kind {
	has := func(types ...avroType) bool {
		if len(n.fields) < len(types) {
			return false
		}
		for i, t := range types {
			if n.fields[i].node.typ != t {
				return false
			}
		}
		return true
	}
	kind := KindOther
	switch n.connect {
	case variableName:
		if has(avroInt, avroBytes) && len(n.fields) == 2 {
			kind = KindVariableDecimal
		}
	case pointName:
		if has(avroDouble, avroDouble) {
			kind = KindPoint
		}
	case geometryName, geographyName:
		if has(avroBytes) {
			kind = KindGeometry
		}
	case circleName:
		if has(avroRecord, avroDouble) && n.fields[0].node.kind == KindPoint && len(n.fields) == 2 {
			kind = KindCircle
		}
	case lineName:
		if has(avroDouble, avroDouble, avroDouble) && len(n.fields) == 3 {
			kind = KindLine
		}
	case sparseName:
		if has(avroInt, avroArray) && len(n.fields) == 2 && n.fields[1].node.items.isEntry() {
			kind = KindVector
		}
	case "io.debezium.time.StructuredDate":
		kind = KindDate
	case "io.debezium.time.StructuredTime":
		kind = KindTime
	case "io.debezium.time.StructuredTimestamp":
		kind = KindTimestamp
	case "io.debezium.time.StructuredZonedTimestamp":
		kind = KindZonedTimestamp
	case "io.debezium.time.StructuredZonedTime":
		kind = KindZonedTime
	case "io.debezium.time.StructuredDuration":
		kind = KindInterval
	}
	return kind
}

// isEntry recognises an element of a sparse vector.
func (n *node) isEntry() bool {
	return n.typ == avroRecord && len(n.fields) == 2 && n.fields[0].node.typ == avroInt && n.fields[1].node.typ == avroDouble
}
