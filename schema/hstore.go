package schema

// hstoreWalk walks the pairs of an hstore in PostgreSQL's text form:
// "k"=>"v", "n"=>NULL
type hstoreWalk struct {
	rest  []byte
	begun bool
}

// hstoreItem is one pair; its strings are between their quotes, with escapes.
type hstoreItem struct {
	key, value []byte
	null       bool
}

// next is the next pair; more is false at the end, and after a failure.
func (h *hstoreWalk) next() (p hstoreItem, more bool, reason string) {
	if len(h.rest) == 0 {
		return p, false, ""
	}
	if h.begun {
		if len(h.rest) < 2 || h.rest[0] != ',' || h.rest[1] != ' ' {
			return p, false, badHstore
		}
		h.rest = h.rest[2:]
	}
	h.begun = true
	var ok bool
	if p.key, ok = h.quoted(); !ok || len(h.rest) < 2 || h.rest[0] != '=' || h.rest[1] != '>' {
		return p, false, badHstore
	}
	h.rest = h.rest[2:]
	if len(h.rest) >= 4 && string(h.rest[:4]) == "NULL" {
		h.rest = h.rest[4:]
		p.null = true
		return p, true, ""
	}
	if p.value, ok = h.quoted(); !ok {
		return p, false, badHstore
	}
	return p, true, ""
}

// quoted takes a string in quotes.
func (h *hstoreWalk) quoted() (text []byte, ok bool) {
	if len(h.rest) == 0 || h.rest[0] != '"' {
		return nil, false
	}
	for i := 1; i < len(h.rest); i++ {
		switch h.rest[i] {
		case '\\':
			i++
		case '"':
			text, h.rest = h.rest[1:i], h.rest[i+1:]
			return text, true
		}
	}
	return nil, false
}

// encodeHstore appends an hstore as compact JSON text, its keys in the server's
// order.
func (p *Plan) encodeHstore(dst, text []byte) ([]byte, string) {
	json, reason := appendHstoreJSON(p.json[:0], text)
	p.json = json
	return appendBytes(dst, json), reason
}

func appendHstoreJSON(dst, text []byte) ([]byte, string) {
	dst = append(dst, '{')
	for h := (hstoreWalk{rest: text}); ; {
		first := !h.begun
		p, more, reason := h.next()
		if !more {
			return append(dst, '}'), reason
		}
		if !first {
			dst = append(dst, ',')
		}
		dst = append(appendHstoreString(dst, p.key), ':')
		if p.null {
			dst = append(dst, "null"...)
			continue
		}
		dst = appendHstoreString(dst, p.value)
	}
}

// appendHstoreString appends a string of an hstore as a JSON string.
func appendHstoreString(dst, text []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
		}
		dst = appendJSONByte(dst, text[i])
	}
	return append(dst, '"')
}

// encodeHstoreMap appends an hstore as a map of strings and nulls, in the
// server's order. The pairs are walked twice, since their number comes first.
func encodeHstoreMap(dst, text []byte) ([]byte, string) {
	count := 0
	for h := (hstoreWalk{rest: text}); ; count++ {
		_, more, reason := h.next()
		if reason != "" {
			return dst, reason
		}
		if !more {
			break
		}
	}
	if count == 0 {
		return append(dst, 0), ""
	}
	dst = appendLong(dst, int64(count))
	for h := (hstoreWalk{rest: text}); ; {
		p, more, _ := h.next()
		if !more {
			return append(dst, 0), ""
		}
		dst = appendUnescaped(dst, p.key)
		if p.null {
			dst = append(dst, 0)
			continue
		}
		dst = appendUnescaped(append(dst, 2), p.value)
	}
}

// appendUnescaped appends a string without its backslashes.
func appendUnescaped(dst, text []byte) []byte {
	n := 0
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
		}
		n++
	}
	return unescape(appendLong(dst, int64(n)), text)
}
