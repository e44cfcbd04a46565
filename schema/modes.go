package schema

// decimalForm is the form of numeric columns. Where NaN and infinities are to be
// written as text, all of them are text, since a decimal has no place for it.
func (s *Settings) decimalForm() form {
	switch {
	case s.Decimal == "string":
		return formDecimalText
	case s.Decimal == "double":
		return formDecimalReal
	case s.textNonfinite():
		return formDecimalText
	}
	return formDecimal
}

func (s *Settings) bytesForm() form {
	switch s.Binary {
	case "base64":
		return formBase64
	case "base64-url-safe":
		return formBase64URL
	case "hex":
		return formHex
	}
	return formBytes
}

// timeForms are the forms of a mode. Columns of at most three fraction digits
// have their own.
type timeForms struct {
	date, shortTime, time, shortTimestamp, timestamp form
}

func (s *Settings) timeForms() timeForms {
	switch s.Time {
	case "adaptive_time_microseconds":
		return timeForms{formDate, formTimeMicros, formTimeMicros, formTimestampMillis, formTimestampMicros}
	case "connect":
		return timeForms{formConnectDate, formConnectTime, formConnectTime, formConnectTimestamp, formConnectTimestamp}
	case "isostring":
		return timeForms{formISODate, formISOTime, formISOTime, formISOTimestamp, formISOTimestamp}
	case "microseconds":
		return timeForms{formDate, formTimeMicros, formTimeMicros, formTimestampMicros, formTimestampMicros}
	case "nanoseconds":
		return timeForms{formDate, formTimeNanos, formTimeNanos, formTimestampNanos, formTimestampNanos}
	case "structured":
		return timeForms{formDateParts, formTimeParts, formTimeParts, formTimestampParts, formTimestampParts}
	}
	return timeForms{formDate, formTimeMillis, formTimeMicros, formTimestampMillis, formTimestampMicros}
}

// mapTime applies Settings.Time and Interval to a type by its default form.
func (s *Settings) mapTime(m *mapping, modifier int32) {
	m.precision = 6
	if modifier >= 0 {
		m.precision = int(modifier & 0xffff) // of an interval: its fields stand above
	}
	if m.form != formDuration {
		m.precision = min(m.precision, 6)
	}
	f := s.timeForms()
	short := m.precision <= 3
	switch {
	case m.form == formDate:
		m.form = f.date
	case m.form == formTimeMicros && short:
		m.form = f.shortTime
	case m.form == formTimeMicros:
		m.form = f.time
	case m.form == formTimestampMicros && short:
		m.form = f.shortTimestamp
	case m.form == formTimestampMicros:
		m.form = f.timestamp
	case m.form == formDuration:
		m.form = s.intervalForm()
	case s.Time == "structured" && m.form == formZonedTimestamp:
		m.form = formZonedTimestampParts
	case s.Time == "structured" && m.form == formZonedTime:
		m.form = formZonedTimeParts
	}
	if formShapes[m.form].record != nil {
		m.defaults = false // Debezium has no defaults of records
	}
}

func (s *Settings) intervalForm() form {
	switch {
	case s.textNonfinite():
		return formPeriod
	case s.Time == "structured":
		return formPeriodParts
	case s.Interval == "string":
		return formPeriod
	}
	return formDuration
}

// textNonfinite tells whether a column that can hold NaN or an infinity is text.
func (s *Settings) textNonfinite() bool { return s.Nonfinite == "string" && !s.Compat }
