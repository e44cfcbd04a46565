package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errShape is a text that is not of the key's type. Its own text says what is
// wanted; the value is added by whoever knows that it is no secret.
type errShape struct{ want string }

func (e *errShape) Error() string { return e.want }

// setScalar reads text into v as the field's type, and checks its range.
func setScalar(v reflect.Value, text string, f *field) error {
	if err := convert(v, text); err != nil {
		return err
	}
	if text == "" && f.hasDef && f.def == "" {
		return nil // a key that may be empty, whatever else it takes
	}
	if len(f.enum) > 0 && !slices.Contains(f.enum, text) {
		return &errShape{"want " + oneOf(f.enum) + suggestionAmong(text, f.enum)}
	}
	return checkRange(v, f)
}

func convert(v reflect.Value, text string) error {
	if v.CanAddr() {
		if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
			if err := u.UnmarshalText([]byte(text)); err != nil {
				return &errShape{err.Error()}
			}
			return nil
		}
	}
	switch v.Type() {
	case typeDuration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return &errShape{"want a duration, such as 500ms, 30s or 2h"}
		}
		v.SetInt(int64(d))
		return nil
	case typeSize:
		s, err := ParseSize(text)
		if err != nil {
			return &errShape{err.Error()}
		}
		v.SetInt(int64(s))
		return nil
	}
	digits := strings.ReplaceAll(text, "_", "")
	switch k := v.Kind(); {
	case k == reflect.String:
		v.SetString(text)
	case k == reflect.Bool:
		if text != "true" && text != "false" {
			return &errShape{"want true or false"}
		}
		v.SetBool(text == "true")
	case k >= reflect.Int && k <= reflect.Int64:
		n, err := strconv.ParseInt(digits, 10, v.Type().Bits())
		if err != nil {
			return numberError(err, "a whole number")
		}
		v.SetInt(n)
	case k >= reflect.Uint && k <= reflect.Uint64:
		n, err := strconv.ParseUint(digits, 10, v.Type().Bits())
		if err != nil {
			return numberError(err, "a whole number, 0 or above")
		}
		v.SetUint(n)
	default:
		n, err := strconv.ParseFloat(digits, v.Type().Bits())
		if err != nil || n != n {
			return numberError(err, "a number")
		}
		v.SetFloat(n)
	}
	return nil
}

func numberError(err error, want string) error {
	if errors.Is(err, strconv.ErrRange) {
		return &errShape{"want " + want + " that is less far from 0"}
	}
	return &errShape{"want " + want}
}

// checkRange compares v with the tags min and max. Durations and sizes are
// never negative unless the tag says so.
func checkRange(v reflect.Value, f *field) error {
	low := f.min
	if low == "" && (f.typ == typeDuration || f.typ == typeSize) {
		low = "0"
	}
	if low != "" && number(v) < bound(f, low) {
		if f.max != "" {
			return &errShape{fmt.Sprintf("want a value from %s to %s", f.min, f.max)}
		}
		return &errShape{"want " + low + " or more"}
	}
	if f.max != "" && number(v) > bound(f, f.max) {
		if f.min != "" {
			return &errShape{fmt.Sprintf("want a value from %s to %s", f.min, f.max)}
		}
		return &errShape{"want " + f.max + " or less"}
	}
	return nil
}

func bound(f *field, text string) float64 {
	v := reflect.New(f.typ).Elem()
	if err := convert(v, text); err != nil {
		panic(fmt.Sprintf("config: %s: bound %q: %v", f.path, text, err))
	}
	return number(v)
}

func number(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	case v.CanFloat():
		return v.Float()
	}
	return float64(len(v.String())) // of a text: its length
}

// scalarText is how a value is written in a file.
func scalarText(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return durationText(x)
	case Size:
		return x.String()
	case encoding.TextMarshaler:
		if b, err := x.MarshalText(); err == nil {
			return string(b)
		}
	}
	if v.Kind() == reflect.Float64 || v.Kind() == reflect.Float32 {
		return strconv.FormatFloat(v.Float(), 'f', -1, v.Type().Bits())
	}
	return fmt.Sprint(v.Interface())
}

func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func oneOf(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values[:len(values)-1], ", ") + " or " + values[len(values)-1]
}

func suggestionAmong(got string, valid []string) string {
	s := suggestion(got, valid)
	if strings.Contains(s, "Valid here") {
		return ""
	}
	return s
}
