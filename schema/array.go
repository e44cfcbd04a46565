package schema

// encodeArray appends an array: one block of all elements, then the end. The
// elements are walked twice, since their number comes first.
func (p *Plan) encodeArray(dst []byte, m *mapping, text []byte) ([]byte, string) {
	a, reason := openArray(text, m.delim)
	if reason != "" {
		return dst, reason
	}
	count := 0
	for walk := a; ; count++ {
		item, reason := walk.next(p.scratch)
		if reason != "" {
			return dst, reason
		}
		if item.end {
			break
		}
		if item.escaped {
			p.scratch = item.text // as far as it grew
		}
	}
	if count == 0 {
		return append(dst, 0), ""
	}
	dst = appendLong(dst, int64(count))
	for range count {
		item, _ := a.next(p.scratch)
		if dst, reason = p.encodeElement(dst, m, item); reason != "" {
			return dst, reason
		}
	}
	return append(dst, 0), ""
}

func (p *Plan) encodeElement(dst []byte, m *mapping, item element) ([]byte, string) {
	if item.null {
		if !m.elemNullable {
			return dst, nullInList
		}
		return append(dst, 0), ""
	}
	if m.elemNullable {
		dst = append(dst, 2)
	}
	if item.nested {
		switch {
		case m.elem.raw:
			return appendBinaryText(dst, m.elem.form, item.text), ""
		case m.elem.form.text():
			return appendBytes(dst, item.text), ""
		}
		return dst, badNested
	}
	start := len(dst)
	dst, reason := p.encodeText(dst, m.elem, item.text)
	if reason == notFinite && p.nullElement && m.elemNullable {
		return append(dst[:start-1], 0), ""
	}
	return dst, reason
}
