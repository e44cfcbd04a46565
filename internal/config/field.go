package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// kind is the form that a value has in the file.
type kind uint8

const (
	kindScalar kind = iota
	kindStruct
	kindOptional // pointer to a struct
	kindMaybe    // pointer to a scalar
	kindList
	kindMap
	kindAny
)

// field describes one key: its tags, and what stands below it.
type field struct {
	name     string
	path     string // for the reference only: lists and maps have a placeholder
	kind     kind
	typ      reflect.Type
	index    []int // in the struct that has it
	def      string
	hasDef   bool
	doc      string
	unit     string
	example  string
	enum     []string
	required bool
	secret   bool
	oneof    bool
	derive   string
	min, max string
	keyName  string // of a map, in the reference
	elem     *field // of a list or a map; what a pointer to a scalar points to
}

var (
	typeDuration = reflect.TypeFor[time.Duration]()
	typeSize     = reflect.TypeFor[Size]()
	typeText     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// fieldsOf lists the keys of a struct in order. An embedded struct without a tag
// lends its keys. A tag that cannot be right panics: it is a fault of ours.
func fieldsOf(t reflect.Type) []*field {
	var list []*field
	for i := range t.NumField() {
		sf := t.Field(i)
		name := sf.Tag.Get("yaml")
		switch {
		case name == "-" || !sf.IsExported():
		case name == "" && sf.Anonymous && sf.Type.Kind() == reflect.Struct:
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				list = append(list, f)
			}
		case name == "":
			panic(fmt.Sprintf("config: %s.%s has no yaml tag", t, sf.Name))
		default:
			list = append(list, newField(sf, name, i))
		}
	}
	return list
}

func newField(sf reflect.StructField, name string, i int) *field {
	f := describe(sf.Type)
	f.name, f.path, f.index = name, name, []int{i}
	f.def, f.hasDef = sf.Tag.Lookup("default")
	f.doc = sf.Tag.Get("doc")
	f.unit = sf.Tag.Get("unit")
	f.example = sf.Tag.Get("example")
	f.required = sf.Tag.Get("required") == "true"
	f.secret = sf.Tag.Get("secret") == "true"
	f.oneof = sf.Tag.Get("oneof") == "true"
	f.derive = sf.Tag.Get("derive")
	f.keyName = sf.Tag.Get("key")
	scalar := f
	if f.elem != nil {
		// What is said of a list or map of scalars is said of its elements.
		scalar = f.elem
		f.elem.oneof, f.elem.required = f.oneof, f.oneof
	}
	scalar.secret = f.secret
	scalar.min, scalar.max = sf.Tag.Get("min"), sf.Tag.Get("max")
	if e := sf.Tag.Get("enum"); e != "" {
		scalar.enum = strings.Split(e, "|")
	}
	return f
}

// describe is a field of a type without tags, as an element is.
func describe(t reflect.Type) *field {
	f := &field{typ: t}
	switch {
	case t == typeDuration, t == typeSize, reflect.PointerTo(t).Implements(typeText):
		f.kind = kindScalar
	case t.Kind() == reflect.Struct:
		f.kind = kindStruct
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		f.kind = kindOptional
	case t.Kind() == reflect.Pointer && isScalar(t.Elem().Kind()):
		f.kind = kindMaybe
		f.elem = describe(t.Elem())
	case t.Kind() == reflect.Slice:
		f.kind = kindList
		f.elem = describe(t.Elem())
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		f.kind = kindMap
		f.elem = describe(t.Elem())
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		f.kind = kindAny
	case isScalar(t.Kind()):
		f.kind = kindScalar
	default:
		panic(fmt.Sprintf("config: a key cannot be of type %s", t))
	}
	return f
}

func isScalar(k reflect.Kind) bool {
	switch k {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

// structType is the struct of a kindStruct or kindOptional.
func (f *field) structType() reflect.Type {
	if f.typ.Kind() == reflect.Pointer {
		return f.typ.Elem()
	}
	return f.typ
}

// typeName is the type in the reference's words.
func (f *field) typeName() string {
	switch f.kind {
	case kindStruct, kindOptional:
		return "section"
	case kindList:
		return "list of " + f.elem.typeName()
	case kindMap:
		return "map of " + f.elem.typeName()
	case kindMaybe:
		return f.elem.typeName()
	case kindAny:
		return "any"
	}
	switch {
	case len(f.enum) > 0:
		return strings.Join(f.enum, " | ")
	case f.typ == typeDuration:
		return "duration"
	case f.typ == typeSize:
		return "size"
	}
	switch k := f.typ.Kind(); {
	case k == reflect.Bool:
		return "bool"
	case k == reflect.Float32 || k == reflect.Float64:
		return "number"
	case k >= reflect.Int && k <= reflect.Uint64:
		return "integer"
	}
	return "text"
}
