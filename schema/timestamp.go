package schema

import "math"

// encodeTimestamp appends a timestamp as a count since 1970-01-01. The infinities
// are Debezium's constants; the last counts on either side are theirs alone.
func encodeTimestamp(dst []byte, f form, text []byte) ([]byte, string) {
	days, clock, infinity, reason := parseTimestamp(text)
	millis := f == formTimestampMillis || f == formConnectTimestamp
	var v int64
	switch {
	case reason != "":
		return dst, reason
	case infinity != 0:
		v = infiniteTimestamp(millis, infinity)
	case millis:
		v = days*(secondsPerDay*1000) + clock/1000
	case days > (math.MaxInt64-1-clock)/microsPerDay || days < math.MinInt64/microsPerDay:
		return dst, badRange // PostgreSQL's range ends 29 years later
	default:
		v = days*microsPerDay + clock
	}
	if f == formTimestampNanos && infinity == 0 {
		if v > math.MaxInt64/1000 || v < math.MinInt64/1000 {
			return dst, badRange
		}
		v *= 1000
	}
	return appendLong(dst, v), ""
}

func infiniteTimestamp(millis bool, sign int) int64 {
	switch {
	case millis && sign > 0:
		return msInfinity
	case millis:
		return msNegInfinity
	case sign > 0:
		return math.MaxInt64
	}
	return math.MinInt64
}
