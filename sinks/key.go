package sinks

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/tailrace/tailrace/cdc"
)

// maxKeyText is how long a row's key may be before a digest takes its place:
// an index entry of PostgreSQL holds about 2,700 bytes.
const maxKeyText = 1024

// RowKey is the text that identifies a row within its table: the key's values
// in PostgreSQL's text form, as a JSON array of strings. A long one is replaced
// by its SHA-256.
func RowKey(values []cdc.Value) string { return string(AppendRowKey(nil, values)) }

// AppendRowKey appends RowKey's text to dst.
func AppendRowKey(dst []byte, values []cdc.Value) []byte {
	from := len(dst)
	b := append(dst, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if v.State != cdc.Text {
			b = append(b, "null"...)
			continue
		}
		b = appendJSON(b, v.Data)
	}
	b = append(b, ']')
	if len(b)-from > maxKeyText {
		sum := sha256.Sum256(b[from:])
		return hex.AppendEncode(append(b[:from], "sha256:"...), sum[:])
	}
	return b
}

// appendJSON appends s as a JSON string. Unlike strconv.AppendQuote it has one
// form for each text.
func appendJSON(b, s []byte) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = append(b, `\u00`...)
			if c < 0x10 {
				b = append(b, '0')
			}
			b = strconv.AppendUint(b, uint64(c), 16)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// ParkKey is the digest under which the changes of one record key are parked.
// The registry's header is left out: a new schema id of the key does not make
// another row of it.
func ParkKey(key []byte) [32]byte {
	if len(key) > cdc.KeyHeaderBytes && key[0] == 0 {
		key = key[cdc.KeyHeaderBytes:]
	}
	return sha256.Sum256(key)
}
