package cdc

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"unicode/utf8"
)

// The masks. Each call makes one of its own, for one column of one table version;
// a Mask is not safe for concurrent use, and Append allocates nothing once its
// buffers have grown.
//
// Their parameters are those that Debezium 3.7 writes into connect.parameters:
// masked for what replaces a value, truncateLength for what cuts it, if the
// column can be longer at all.

var masked = []Param{{Name: "masked", Value: "true"}}

// Asterisks replaces every value by n asterisks, NULL too, so that nothing of it
// is left, not even whether there is one.
func Asterisks(n int) *Mask {
	stars := make([]byte, n)
	for i := range stars {
		stars[i] = '*'
	}
	return &Mask{Params: masked, Append: func(dst []byte, _ Value, _ *Column) ([]byte, State) {
		return append(dst, stars...), Text
	}}
}

// Truncate cuts values of c after n characters; of bytea, after n bytes. NULL
// stays. With utf16 a character beyond U+FFFF counts as two, as in Java; none is
// ever cut in two. The result is nil when c cannot hold more than n.
func Truncate(n int, c *Column, utf16 bool) *Mask {
	if limit := charLength(c); limit > 0 && limit <= n {
		return nil
	}
	params := []Param{{Name: "truncateLength", Value: strconv.Itoa(n)}}
	if baseOf(c.Type).Name == "bytea" {
		return &Mask{Params: params, Append: kept(func(dst, text []byte) []byte {
			return append(dst, text[:min(len(text), len(`\x`)+2*n)]...)
		})}
	}
	return &Mask{Params: params, Append: kept(func(dst, text []byte) []byte {
		return append(dst, text[:prefix(text, n, utf16)]...)
	})}
}

// prefix is how many bytes of text its first n characters take.
func prefix(text []byte, n int, utf16 bool) int {
	if len(text) <= n {
		return len(text)
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		n--
		if utf16 && r > 0xFFFF {
			n--
		}
		if n < 0 {
			return i
		}
		i += size
	}
	return len(text)
}

// Hash replaces values of c by their HMAC-SHA-256 under key, in lower-case
// hexadecimal, cut to what c can hold: the same value has the same hash, and
// nobody without the key can try values. NULL stays.
func Hash(key []byte, c *Column) *Mask {
	return digest(hmac.New(sha256.New, key), nil, c, func(h hash.Hash, text []byte) { _, _ = h.Write(text) })
}

// HashAlgorithms are the names that DebeziumHash takes: those of Java's standard
// digests that Debezium's users have.
func HashAlgorithms() []string {
	return []string{"MD5", "SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"}
}

// DebeziumHash replaces values of c by the hash that Debezium's options
// column.mask.hash.<algorithm>.with.salt.<salt> (version 1) and
// column.mask.hash.v2.… (version 2) write: the digest of the salt and the value,
// in hexadecimal, cut to what c can hold. NULL stays.
//
// It is for consumers that have such hashes already. The salt is no secret key,
// and a digest is quick to compute: who knows the salt can try all telephone
// numbers in a minute. Hash is the one to choose otherwise.
func DebeziumHash(algorithm, salt string, version int, c *Column) (*Mask, error) {
	var h hash.Hash
	switch algorithm {
	case "MD5":
		h = md5.New()
	case "SHA-1":
		h = sha1.New()
	case "SHA-224":
		h = sha256.New224()
	case "SHA-256":
		h = sha256.New()
	case "SHA-384":
		h = sha512.New384()
	case "SHA-512":
		h = sha512.New()
	default:
		return nil, fmt.Errorf("no digest %q", algorithm)
	}
	switch version {
	case 1:
		return digest(h, []byte(salt), c, javaObject()), nil
	case 2:
		return digest(h, []byte(salt), c, func(h hash.Hash, text []byte) { _, _ = h.Write(text) }), nil
	}
	return nil, fmt.Errorf("no version %d of Debezium's hashes", version)
}

// digest masks values of c by h over the salt and what write makes of the value.
func digest(h hash.Hash, salt []byte, c *Column, write func(hash.Hash, []byte)) *Mask {
	most := 2 * h.Size()
	if limit := charLength(c); limit > 0 {
		most = min(most, limit)
	}
	sum := make([]byte, 0, h.Size())
	return &Mask{Params: masked, Append: kept(func(dst, text []byte) []byte {
		h.Reset()
		_, _ = h.Write(salt) // a hash takes everything
		write(h, text)
		sum = h.Sum(sum[:0])
		start := len(dst)
		return hex.AppendEncode(dst, sum)[:start+most]
	})}
}

// javaObject writes a text as Java's ObjectOutputStream does, which is what
// version 1 hashes (Java Object Serialization Specification, section 6.4: magic,
// version, TC_STRING or, beyond 65535 bytes, TC_LONGSTRING, length, modified
// UTF-8).
func javaObject() func(hash.Hash, []byte) {
	var buf, body []byte
	return func(h hash.Hash, text []byte) {
		body = appendModifiedUTF8(body[:0], text)
		buf = append(buf[:0], 0xAC, 0xED, 0x00, 0x05)
		if len(body) <= 0xFFFF {
			buf = binary.BigEndian.AppendUint16(append(buf, 0x74), uint16(len(body)))
		} else {
			buf = binary.BigEndian.AppendUint64(append(buf, 0x7C), uint64(len(body)))
		}
		_, _ = h.Write(buf)
		_, _ = h.Write(body)
	}
}

// appendModifiedUTF8 appends text with characters beyond U+FFFF as two
// surrogates of three bytes each. (PostgreSQL's texts hold no zero byte, the
// other thing that is modified.)
func appendModifiedUTF8(dst, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r <= 0xFFFF {
			dst = append(dst, text[:size]...)
		} else {
			r -= 0x10000
			for _, unit := range [2]rune{0xD800 | r>>10, 0xDC00 | r&0x3FF} {
				dst = append(dst, 0xE0|byte(unit>>12), 0x80|byte(unit>>6)&0xBF, 0x80|byte(unit)&0xBF)
			}
		}
		text = text[size:]
	}
	return dst
}

// kept makes a mask's Append of one that is about values only: NULL stays.
func kept(replace func(dst, text []byte) []byte) func([]byte, Value, *Column) ([]byte, State) {
	return func(dst []byte, v Value, _ *Column) ([]byte, State) {
		if v.State != Text {
			return dst, v.State
		}
		return replace(dst, v.Data), Text
	}
}

// Unmasked passes values on as they are and writes the parameter of a mask. It is
// what Debezium makes of a mask that fits a column of no characters.
func Unmasked() *Mask {
	return &Mask{Params: masked, Append: kept(func(dst, text []byte) []byte { return append(dst, text...) })}
}

// Maskable tells whether the values of c are characters, so that asterisks or a
// hash can stand in their place.
func Maskable(c *Column) bool {
	b := baseOf(c.Type)
	if b.Kind == KindEnum {
		return true
	}
	switch b.Name {
	case "text", "varchar", "bpchar", "char", "name", "citext":
		return b.Kind == KindBase
	}
	return false
}

// Truncatable tells whether Truncate can cut the values of c.
func Truncatable(c *Column) bool {
	if Maskable(c) {
		return true
	}
	b := baseOf(c.Type)
	switch b.Name {
	case "bytea", "json", "jsonb", "xml":
		return b.Kind == KindBase
	}
	return false
}

// baseOf is the type below all domains.
func baseOf(t *Type) *Type {
	for t != nil && t.Kind == KindDomain && t.Base != nil {
		t = t.Base
	}
	if t == nil {
		return &Type{}
	}
	return t
}

// charLength is how many characters a column holds at most, by its type or the
// nearest domain that limits it; 0 for no limit.
func charLength(c *Column) int {
	modifier := c.Modifier
	for t := c.Type; modifier < 0 && t != nil && t.Kind == KindDomain; t = t.Base {
		modifier = t.BaseModifier
	}
	const header = 4 // VARHDRSZ, which atttypmod counts in
	switch baseOf(c.Type).Name {
	case "varchar", "bpchar":
		if modifier > header {
			return int(modifier - header)
		}
	case "char":
		return 1
	}
	return 0
}

// Shaped is a table version as it is published under rules. A rule that does not
// fit the table is a StopError.
func Shaped(t *Table, rules Rules, debezium bool) (*Table, error) {
	_, shaped, err := newShape(t, rules, debezium)
	return shaped, err
}
