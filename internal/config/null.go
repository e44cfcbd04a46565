package config

import "reflect"

// Nuller is implemented by a scalar, beside UnmarshalText, that is not the same
// when it is null as when it is left out. It is asked for the values of maps.
type Nuller interface {
	UnmarshalNull()
}

// setNull makes v null, if it can be.
func setNull(v reflect.Value) bool {
	n, ok := v.Addr().Interface().(Nuller)
	if ok {
		n.UnmarshalNull()
	}
	return ok
}
