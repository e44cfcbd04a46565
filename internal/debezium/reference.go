package debezium

import (
	"regexp"
	"strings"
)

// providerReference is a value that Connect's worker looks up: ${provider:key} or
// ${provider:path:key}.
var providerReference = regexp.MustCompile(`\$\{([^}:]+):(?:([^}]*):)?([^}:]*)\}`)

// lookup is one reference to a config provider, and the variable of the
// environment that takes its place.
type lookup struct {
	source   string // as in the connector's configuration
	provider string
	path     string
	variable string
}

var notInVariables = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// lookups are the references in a value, in their order. A reference without a
// name in it has no variable.
func lookups(value string) []lookup {
	var list []lookup
	for _, m := range providerReference.FindAllStringSubmatch(value, -1) {
		l := lookup{source: m[0], provider: m[1], path: m[2]}
		if isEnvironment(m[1]) {
			l.variable = notInVariables.ReplaceAllString(m[3], "_")
		} else {
			l.variable = strings.ToUpper(notInVariables.ReplaceAllString(m[3], "_"))
		}
		if l.variable != "" && l.variable[0] >= '0' && l.variable[0] <= '9' {
			l.variable = "_" + l.variable
		}
		list = append(list, l)
	}
	return list
}

// isEnvironment tells whether a provider reads the environment; the names are
// those that the configurations of Connect and of Strimzi give it.
func isEnvironment(provider string) bool {
	return provider == "env" || provider == "strimzienv"
}

// substitute makes a value one for relay.yaml: literal parts through escape, with
// their dollars doubled where needed, and references as ${VARIABLE}.
func substitute(value string, escape func(string) string) string {
	var b strings.Builder
	for {
		at := providerReference.FindStringIndex(value)
		bare := reference.FindStringIndex(value) // what a template would fill in
		switch {
		case at == nil && bare == nil:
			b.WriteString(escapeDollars(escape(value)))
			return b.String()
		case at == nil || bare != nil && bare[0] < at[0]:
			b.WriteString(escapeDollars(escape(value[:bare[0]])) + value[bare[0]:bare[1]])
			value = value[bare[1]:]
		default:
			b.WriteString(escapeDollars(escape(value[:at[0]])) + "${" + lookups(value[at[0]:at[1]])[0].variable + "}")
			value = value[at[1]:]
		}
	}
}

// refers tells whether a value is not in the file itself.
func refers(value string) bool {
	return providerReference.MatchString(value) || reference.MatchString(value)
}
