package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestReasonsOfKnownRegistries(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		// Confluent 7: rows stand in a union, and the checker says no more than this.
		`Schema being registered is incompatible with an earlier schema for subject "s", details: [{errorType:'MISSING_UNION_BRANCH', description:'The new schema is missing a type inside a union field at path '/fields/0/type/1' in the old schema', additionalInfo:'reader union lacking writer type: RECORD'}, {oldSchemaVersion: 1}, {oldSchema: '{"type":"record"}'}, {validateFields: 'false', compatibility: 'BACKWARD'}]`: `The new schema is missing a type inside a union field at path '/fields/0/type/1' in the old schema (reader union lacking writer type: RECORD)`,
		`{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'b' at path '/fields/1' in the new schema has no default value and is missing in the old schema', additionalInfo:'b'}`:                                                                                                                                                                                                                             `The field 'b' at path '/fields/1' in the new schema has no default value and is missing in the old schema`,
		// Apicurio 3.3.3.
		`io.apicurio.registry.rules.violation.RuleViolationException: Incompatible artifact: kFORWARD [AVRO], num of incompatible diffs: {2}, list of diff types: [b at /fields/1, c at /fields/2]`: `b at /fields/1, c at /fields/2`,
		`something else`: `something else`,
		``:               `no reason given`,
	} {
		if got := strings.Join(reasons(message), "|"); got != want {
			t.Errorf("%s\n got %s\nwant %s", message, got, want)
		}
	}
}

// answers is a registry with one subject, "s", and its answers to all that Ask
// and Versions ask.
type answers struct {
	own        string // the subject's level; "": it has none and defaultToGlobal is not known
	global     string
	versions   []string
	compatible bool
}

func (a answers) answer(r request) (int, string) {
	const missing = `{"error_code":40401,"message":"Subject not found"}`
	encode := func(v any) (int, string) {
		b, err := json.Marshal(v)
		if err != nil {
			return 500, err.Error()
		}
		return 200, string(b)
	}
	version := func(i int) (int, string) {
		if i >= len(a.versions) || i < 0 {
			return 404, missing
		}
		return encode(map[string]any{"subject": "s", "version": i + 1, "id": 10 + i, "schema": a.versions[i]})
	}
	switch {
	case r.path == "/config/s" && a.own != "" && r.query == "defaultToGlobal=true":
		return encode(map[string]any{"compatibilityLevel": a.own})
	case r.path == "/config":
		return encode(map[string]any{"compatibilityLevel": a.global})
	case r.path == "/subjects/s/versions/latest":
		return version(len(a.versions) - 1)
	case r.path == "/subjects/s/versions" && r.method == "GET":
		var numbers []int
		for i := range a.versions {
			numbers = append(numbers, i+1)
		}
		if numbers == nil {
			return 404, missing
		}
		return encode(numbers)
	case strings.HasPrefix(r.path, "/subjects/s/versions/"):
		var n int
		_, _ = fmt.Sscanf(r.path, "/subjects/s/versions/%d", &n)
		return version(n - 1)
	case r.path == "/subjects/s":
		for i, text := range a.versions {
			if text == r.schema {
				return version(i)
			}
		}
		return 404, `{"error_code":40403,"message":"Schema not found"}`
	case strings.HasPrefix(r.path, "/compatibility/"):
		return encode(map[string]any{"is_compatible": a.compatible, "messages": []string{"description:'because'"}})
	}
	return 404, missing
}

func TestAskGivesLevelLatestAndVerdict(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		registry answers
		schema   string
		want     Verdict
	}{
		"new subject": {answers{global: "BACKWARD"}, `"int"`, Verdict{Level: "BACKWARD", Compatible: true}},
		"registered":  {answers{own: "FULL", global: "NONE", versions: []string{`"int"`, `"long"`}}, `"int"`, Verdict{Level: "FULL", Version: 2, Latest: `"long"`, Registered: true, Compatible: true}},
		"would be":    {answers{own: "FULL", versions: []string{`"int"`}, compatible: true}, `"long"`, Verdict{Level: "FULL", Version: 1, Latest: `"int"`, Compatible: true}},
		"refused":     {answers{global: "FORWARD", versions: []string{`"int"`}}, `"long"`, Verdict{Level: "FORWARD", Version: 1, Latest: `"int"`, Reasons: []string{"because"}}},
	} {
		s, asked := scripted(t, test.registry.answer)
		test.want.Subject = "s"
		got, err := client(s.URL).Ask(t.Context(), "s", test.schema)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, test.want)
		}
		for _, r := range asked() {
			if strings.HasSuffix(r.path, "/versions") && r.method == "POST" && !strings.HasPrefix(r.path, "/compatibility") || r.method == "PUT" {
				t.Errorf("%s: a check changed the registry: %+v", name, r)
			}
		}
	}
	s, _ := scripted(t, func(request) (int, string) { return 401, "" })
	if _, err := client(s.URL).Ask(t.Context(), "s", `"int"`); !errors.Is(err, ErrAuth) {
		t.Errorf("got %v", err)
	}
}

func TestVersionsGoAsFarBackAsTheLevel(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 150 {
		many = append(many, fmt.Sprintf(`{"type":"fixed","name":"f","size":%d}`, i))
	}
	for name, test := range map[string]struct {
		registry answers
		level    string
		want     []string
	}{
		"latest":     {answers{own: "BACKWARD", versions: many[:3]}, "BACKWARD", many[2:3]},
		"transitive": {answers{own: "FULL_TRANSITIVE", versions: many[:3]}, "FULL_TRANSITIVE", many[:3]},
		"bounded":    {answers{own: "FULL_TRANSITIVE", versions: many}, "FULL_TRANSITIVE", many[50:]},
		"global":     {answers{global: "FORWARD_TRANSITIVE", versions: many[:1]}, "FORWARD_TRANSITIVE", many[:1]},
		"none":       {answers{global: "FORWARD_TRANSITIVE"}, "FORWARD_TRANSITIVE", nil},
		"none yet":   {answers{global: "FORWARD"}, "FORWARD", nil},
	} {
		s, _ := scripted(t, test.registry.answer)
		level, got, err := client(s.URL).Versions(t.Context(), "s")
		if err != nil || level != test.level || strings.Join(got, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("%s: got %s %v, %v", name, level, got, err)
		}
	}
}

func TestLookupOnlySaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	s, asked := scripted(t, answers{versions: []string{`"int"`}}.answer)
	_, err := client(s.URL).Lookup(t.Context(), "s", `"long"`)
	var missing *UnregisteredError
	if !errors.As(err, &missing) || missing.Subject != "s" || !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "registry.auto_register") {
		t.Errorf("got %v", err)
	}
	for _, r := range asked() {
		if strings.HasSuffix(r.path, "/versions") {
			t.Errorf("a lookup registered: %+v", r)
		}
	}
	if id, err := client(s.URL).Lookup(t.Context(), "s", `"int"`); id != 10 || err != nil {
		t.Errorf("got %d, %v", id, err)
	}
}
