package state

import (
	"encoding/binary"
	"maps"
	"slices"
)

const (
	entityParked = 1 << iota
	entityValue
)

// Append appends the record's bytes to dst; contributions stand in the order of
// their names, so that equal entities have equal bytes.
func (e *EntityRecord) Append(dst []byte) []byte {
	flags := byte(0)
	if e.Parked != nil {
		flags |= entityParked
	}
	if e.Value != nil {
		flags |= entityValue
	}
	dst = append(dst, recordVersion, flags)
	dst = binary.AppendVarint(dst, e.Generation)
	dst = binary.AppendUvarint(dst, e.Sequence)
	dst = binary.AppendUvarint(dst, uint64(len(e.Contributions)))
	for _, name := range slices.Sorted(maps.Keys(e.Contributions)) {
		c := e.Contributions[name]
		dst = appendText(dst, name)
		dst = appendPlace(dst, c.At)
		dst = appendText(dst, c.Value)
	}
	if e.Value != nil {
		dst = appendText(dst, e.Value)
	}
	if e.Parked != nil {
		dst = appendText(dst, e.Parked.Append(nil))
	}
	return dst
}

// ParseEntity reads a record's bytes, which values share.
func ParseEntity(b []byte) (EntityRecord, error) {
	d := newDecoder(b)
	flags := d.byte()
	e := EntityRecord{Generation: d.varint(), Sequence: d.uvarint()}
	n := d.uvarint()
	if n > uint64(len(d.b)) { // each takes several bytes
		d.fail()
		n = 0
	}
	e.Contributions = make(map[string]Contribution, n)
	for range n {
		name := d.text()
		e.Contributions[name] = Contribution{At: d.place(), Value: d.bytes()}
	}
	if flags&entityValue != 0 {
		e.Value = d.bytes()
	}
	if flags&entityParked != 0 {
		m, err := ParseMarker(d.bytes())
		if err != nil && d.err == nil {
			d.err = err
		}
		e.Parked = &m
	}
	return e, d.finish("entity")
}
