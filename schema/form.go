package schema

// form is how values of a type travel in Avro: the Avro type and the way from
// PostgreSQL's text to its bytes.
type form uint8

const (
	formBool            form = iota // boolean
	formInt16                       // int, connect.type int16
	formInt32                       // int
	formInt64                       // long
	formOID                         // long, unsigned 32 bits
	formFloat32                     // float
	formFloat64                     // double
	formString                      // string, the text itself
	formEnum                        // string, one of the labels
	formDecimal                     // bytes, unscaled value of a fixed scale
	formVariable                    // record of scale and unscaled value
	formZonedTimestamp              // string, UTC
	formArray                       // array
	formBytes                       // bytes
	formDate                        // int, days
	formTimeMillis                  // int, milliseconds of the day
	formTimeMicros                  // long, microseconds of the day
	formTimestampMillis             // long, milliseconds since 1970-01-01
	formTimestampMicros             // long, microseconds since 1970-01-01
	formZonedTime                   // string, UTC
	formDuration                    // long, microseconds
	formMoney                       // bytes, as formDecimal, from text with signs of currency
	formBit                         // boolean
	formBits                        // bytes, least significant first
	formHstore                      // string, a JSON object
	formPoint                       // record of x, y and the point as WKB

	formDecimalText // string, plain digits, or a word for what is not finite
	formDecimalReal // double
	formMoneyText   // string, plain digits
	formMoneyReal   // double
	formBase64      // string
	formBase64URL   // string
	formHex         // string
	formHstoreMap   // map of strings that can be null
	formPeriod      // string, an ISO 8601 duration: an interval in its parts

	formConnectDate      // int, days, a logical type of Avro's
	formConnectTime      // int, milliseconds of the day
	formConnectTimestamp // long, milliseconds since 1970-01-01
	formTimeNanos        // long, nanoseconds of the day
	formTimestampNanos   // long, nanoseconds since 1970-01-01
	formISODate          // string
	formISOTime          // string
	formISOTimestamp     // string

	formDateParts           // record
	formTimeParts           // record
	formTimestampParts      // record
	formZonedTimestampParts // record
	formZonedTimeParts      // record
	formPeriodParts         // record

	formBox        // record of WKB, srid and extensions
	formLseg       // the same
	formPath       // the same
	formPolygon    // the same
	formGeometry   // the same
	formGeography  // record of WKB and srid
	formCircle     // record of a point and a radius
	formLine       // record of three coefficients
	formVector     // array of double
	formHalfvec    // array of float
	formSparsevec  // record of the dimensions and the elements that are not zero
	formInt2Vector // array of int, connect.type int16
	formOIDVector  // array of long

	forms
)

// shape is what a form looks like in a schema.
type shape struct {
	avro     string // the Avro type
	semantic string // connect.name
	logical  string // logicalType
	record   *record
	optional bool // the field can be null even where the column cannot, as in Debezium
}

var formShapes = [forms]shape{
	formBool:       {avro: "boolean"},
	formInt16:      {avro: "int"},
	formInt32:      {avro: "int"},
	formInt64:      {avro: "long"},
	formOID:        {avro: "long"},
	formFloat32:    {avro: "float"},
	formFloat64:    {avro: "double"},
	formString:     {avro: "string"},
	formEnum:       {avro: "string", semantic: "io.debezium.data.Enum"},
	formDecimal:    {avro: "bytes", semantic: decimalName, logical: "decimal"},
	formVariable:   {avro: "record", semantic: variableName, record: variableRecord},
	formArray:      {avro: "array"},
	formBytes:      {avro: "bytes"},
	formMoney:      {avro: "bytes", semantic: decimalName, logical: "decimal"},
	formBit:        {avro: "boolean"},
	formBits:       {avro: "bytes", semantic: "io.debezium.data.Bits"},
	formHstore:     {avro: "string", semantic: "io.debezium.data.Json"},
	formHstoreMap:  {avro: "map"},
	formBase64:     {avro: "string"},
	formBase64URL:  {avro: "string"},
	formHex:        {avro: "string"},
	formVector:     {avro: "array", semantic: "io.debezium.data.DoubleVector"},
	formHalfvec:    {avro: "array", semantic: "io.debezium.data.FloatVector"},
	formSparsevec:  {avro: "record", semantic: sparseName, record: sparseRecord},
	formInt2Vector: {avro: "array"},
	formOIDVector:  {avro: "array"},

	formDecimalText: {avro: "string"},
	formDecimalReal: {avro: "double"},
	formMoneyText:   {avro: "string"},
	formMoneyReal:   {avro: "double"},

	formDate:             {avro: "int", semantic: "io.debezium.time.Date"},
	formTimeMillis:       {avro: "int", semantic: "io.debezium.time.Time"},
	formTimeMicros:       {avro: "long", semantic: "io.debezium.time.MicroTime"},
	formTimeNanos:        {avro: "long", semantic: "io.debezium.time.NanoTime"},
	formTimestampMillis:  {avro: "long", semantic: "io.debezium.time.Timestamp"},
	formTimestampMicros:  {avro: "long", semantic: "io.debezium.time.MicroTimestamp"},
	formTimestampNanos:   {avro: "long", semantic: "io.debezium.time.NanoTimestamp"},
	formConnectDate:      {avro: "int", semantic: "org.apache.kafka.connect.data.Date", logical: "date"},
	formConnectTime:      {avro: "int", semantic: "org.apache.kafka.connect.data.Time", logical: "time-millis"},
	formConnectTimestamp: {avro: "long", semantic: "org.apache.kafka.connect.data.Timestamp", logical: "timestamp-millis"},
	formISODate:          {avro: "string", semantic: "io.debezium.time.IsoDate"},
	formISOTime:          {avro: "string", semantic: "io.debezium.time.IsoTime"},
	formISOTimestamp:     {avro: "string", semantic: "io.debezium.time.IsoTimestamp"},
	formZonedTimestamp:   {avro: "string", semantic: "io.debezium.time.ZonedTimestamp"},
	formZonedTime:        {avro: "string", semantic: "io.debezium.time.ZonedTime"},
	formDuration:         {avro: "long", semantic: "io.debezium.time.MicroDuration"},
	formPeriod:           {avro: "string", semantic: "io.debezium.time.Interval"},

	formDateParts:           {avro: "record", semantic: "io.debezium.time.StructuredDate", record: dateRecord},
	formTimeParts:           {avro: "record", semantic: "io.debezium.time.StructuredTime", record: timeRecord},
	formTimestampParts:      {avro: "record", semantic: "io.debezium.time.StructuredTimestamp", record: timestampRecord},
	formZonedTimestampParts: {avro: "record", semantic: "io.debezium.time.StructuredZonedTimestamp", record: zonedTimestampRecord},
	formZonedTimeParts:      {avro: "record", semantic: "io.debezium.time.StructuredZonedTime", record: zonedTimeRecord},
	formPeriodParts:         {avro: "record", semantic: "io.debezium.time.StructuredDuration", record: periodRecord},

	formPoint:     {avro: "record", semantic: pointName, record: pointRecord},
	formBox:       {avro: "record", semantic: geometryName, record: geometryRecord, optional: true},
	formLseg:      {avro: "record", semantic: geometryName, record: geometryRecord, optional: true},
	formPath:      {avro: "record", semantic: geometryName, record: geometryRecord, optional: true},
	formPolygon:   {avro: "record", semantic: geometryName, record: geometryRecord, optional: true},
	formGeometry:  {avro: "record", semantic: geometryName, record: geometryRecord, optional: true},
	formGeography: {avro: "record", semantic: geographyName, record: geographyRecord},
	formCircle:    {avro: "record", semantic: circleName, record: circleRecord, optional: true},
	formLine:      {avro: "record", semantic: lineName, record: lineRecord, optional: true},
}

const (
	decimalName   = "org.apache.kafka.connect.data.Decimal"
	variableName  = "io.debezium.data.VariableScaleDecimal"
	sparseName    = "io.debezium.data.SparseDoubleVector"
	pointName     = "io.debezium.data.geometry.Point"
	geometryName  = "io.debezium.data.geometry.Geometry"
	geographyName = "io.debezium.data.geometry.Geography"
	circleName    = "io.debezium.data.geometry.Circle"
	lineName      = "io.debezium.data.geometry.Line"
)

// text tells whether the form is a string that could hold any text.
func (f form) text() bool { return formShapes[f].avro == "string" }

// temporal tells whether the form is a date, a time, a timestamp or an interval.
func (f form) temporal() bool {
	switch f {
	case formDate, formTimeMillis, formTimeMicros, formTimeNanos, formTimestampMillis, formTimestampMicros, formTimestampNanos,
		formConnectDate, formConnectTime, formConnectTimestamp, formISODate, formISOTime, formISOTimestamp,
		formZonedTimestamp, formZonedTime, formDuration, formPeriod:
		return true
	}
	return false
}
