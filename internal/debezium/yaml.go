package debezium

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// node is a key of relay.yaml. Keys stand in the order in which they were first
// asked for; one without value, list or keys of its own is not written.
type node struct {
	key      string
	comments []string
	value    string   // as YAML
	list     []string // as YAML
	keys     []*node
}

// at is the key below n at a path, made where there is none.
func (n *node) at(path ...string) *node {
	for _, key := range path {
		n = n.child(key)
	}
	return n
}

func (n *node) child(key string) *node {
	for _, k := range n.keys {
		if k.key == key {
			return k
		}
	}
	k := &node{key: key}
	n.keys = append(n.keys, k)
	return k
}

func (n *node) empty() bool {
	if n.value != "" || n.list != nil {
		return false
	}
	for _, k := range n.keys {
		if !k.empty() {
			return false
		}
	}
	return true
}

// say adds a comment above the key.
func (n *node) say(text string) {
	for _, c := range n.comments {
		if c == text {
			return
		}
	}
	n.comments = append(n.comments, text)
}

// add puts a value at the end of the list, once.
func (n *node) add(values ...string) {
	for _, v := range values {
		if v = flow(v); !n.has(v) {
			n.list = append(n.list, v)
		}
	}
}

func (n *node) has(value string) bool {
	for _, v := range n.list {
		if v == value {
			return true
		}
	}
	return false
}

const (
	commentWidth = 110 // columns of a line of comment
	flowWidth    = 100 // columns up to which a list stands in one line
)

// write appends the keys below n.
func (n *node) write(b *strings.Builder, indent string) {
	for _, k := range n.keys {
		if k.empty() {
			continue
		}
		for _, c := range k.comments {
			writeComment(b, indent, "", c)
		}
		b.WriteString(indent + scalar(k.key) + ":")
		switch {
		case k.value != "":
			b.WriteString(" " + k.value + "\n")
		case k.list != nil:
			writeList(b, indent, k)
		default:
			b.WriteByte('\n')
			k.write(b, indent+"  ")
		}
	}
}

func writeList(b *strings.Builder, indent string, k *node) {
	line := " [" + strings.Join(k.list, ", ") + "]"
	if len(indent)+len(k.key)+len(line) < flowWidth {
		b.WriteString(line + "\n")
		return
	}
	b.WriteByte('\n')
	for _, v := range k.list {
		b.WriteString(indent + "  - " + v + "\n")
	}
}

// writeComment breaks text into lines at its spaces; lead begins each of them.
func writeComment(b *strings.Builder, indent, lead, text string) {
	start := indent + "# " + lead
	line := start
	for _, word := range strings.Fields(strings.Map(printable, text)) {
		if len(line)+1+len(word) > commentWidth && line != start {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = start
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// printable keeps what YAML refuses out of comments.
func printable(r rune) rune {
	if unicode.IsControl(r) && !unicode.IsSpace(r) || r == 0xFEFF || r == utf8.RuneError {
		return '?'
	}
	return r
}

var (
	// plainText needs no quotes, in lists and mappings of one line neither.
	plainText = regexp.MustCompile(`^[A-Za-z_$](?::?[A-Za-z0-9_./@%=&?+-])*$`)
	// otherYAML would be read as something that is no text.
	otherYAML = regexp.MustCompile(`(?i)^(?:true|false|yes|no|on|off|y|n|null|~|\.inf|\.nan)$`)
	reference = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)
)

// scalar is a text as YAML, with dollars as they stand.
func scalar(s string) string {
	bare := reference.ReplaceAllString(s, "x")
	if plainText.MatchString(bare) && !otherYAML.MatchString(s) {
		return s
	}
	if !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7F || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xFEFF
	}) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < ' ' || r == 0x7F || r == 0x85:
			const hex = "0123456789ABCDEF"
			b.WriteString(`\x` + string(hex[r>>4&15]) + string(hex[r&15]))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// flow is a scalar for a place between { } or [ ], where a reference's braces
// would end it for a reader that does not know of references.
func flow(text string) string {
	if strings.ContainsAny(text[:1], `'"`) || !strings.ContainsAny(text, ",[]{}:?&=%@") {
		return text
	}
	return "'" + text + "'"
}

// quote is a value that is a text of its own: its dollars refer to nothing.
func quote(s string) string { return scalar(escapeDollars(s)) }

// escapeDollars keeps relay.yaml from reading a reference where there is none.
func escapeDollars(s string) string {
	return strings.NewReplacer("$$", "$$$$", "${", "$${").Replace(s)
}
