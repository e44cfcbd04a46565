package schema

// encodeHstore appends an hstore as compact JSON text, its keys in the server's
// order.
func (p *Plan) encodeHstore(dst, text []byte) ([]byte, string) {
	json, reason := appendHstoreJSON(p.json[:0], text)
	p.json = json
	return appendBytes(dst, json), reason
}

// appendHstoreJSON turns "k"=>"v", "n"=>NULL into {"k":"v","n":null}.
func appendHstoreJSON(dst, text []byte) ([]byte, string) {
	dst = append(dst, '{')
	for first := true; len(text) > 0; first = false {
		var ok bool
		if !first {
			if len(text) < 2 || text[0] != ',' || text[1] != ' ' {
				return dst, badHstore
			}
			text = text[2:]
			dst = append(dst, ',')
		}
		if dst, text, ok = appendHstoreString(dst, text); !ok {
			return dst, badHstore
		}
		if len(text) < 2 || text[0] != '=' || text[1] != '>' {
			return dst, badHstore
		}
		text = text[2:]
		dst = append(dst, ':')
		if len(text) >= 4 && string(text[:4]) == "NULL" {
			dst = append(dst, "null"...)
			text = text[4:]
			continue
		}
		if dst, text, ok = appendHstoreString(dst, text); !ok {
			return dst, badHstore
		}
	}
	return append(dst, '}'), ""
}

// appendHstoreString appends one quoted string of an hstore as a JSON string.
func appendHstoreString(dst, text []byte) (out, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return dst, text, false
	}
	dst = append(dst, '"')
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch c {
		case '"':
			return append(dst, '"'), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return dst, nil, false
			}
			c = text[i]
		}
		dst = appendJSONByte(dst, c)
	}
	return dst, nil, false
}
