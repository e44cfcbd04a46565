package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riferrei/srclient"
)

const (
	personV1 = `{"type":"record","name":"Person","fields":[{"name":"name","type":"string"}]}`
	personV2 = `{"type":"record","name":"Person","fields":[{"name":"name","type":"string"},{"name":"age","type":["null","int"],"default":null}]}`
	personV3 = `{"type":"record","name":"Person","fields":[{"name":"name","type":"string"},{"name":"nick","type":["null","string"]}]}`
	same     = ` { "name" : "Person", "type" : "record", "fields" : [ { "type": {"type":"string"}, "name": "name" } ] } `
)

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends a request and returns status and body; {…} in the body of a request
// stands for a schema.
func ask(t *testing.T, s *Server, method, path, body string) string {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); got != contentType {
		t.Errorf("%s %s: content type %q, want %q", method, path, got, contentType)
	}
	var e apiError
	if json.Unmarshal(b, &e) == nil && e.Code != 0 {
		return fmt.Sprintf("%d %d", resp.StatusCode, e.Code)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(string(b)))
}

// quote is a request body with schema text.
func quote(text string) string {
	b, _ := json.Marshal(map[string]string{"schema": text})
	return string(b)
}

type step struct{ method, path, body, want string }

func run(t *testing.T, s *Server, steps []step) {
	t.Helper()
	for i, st := range steps {
		if got := ask(t, s, st.method, st.path, st.body); got != st.want {
			t.Errorf("step %d: %s %s %s\ngot  %s\nwant %s", i+1, st.method, st.path, st.body, got, st.want)
		}
	}
}

func TestEqualSchemasShareAnID(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	run(t, s, []step{
		{"GET", "/subjects", "", `200 []`},
		{"POST", "/subjects/a-value/versions", quote(personV1), `200 {"id":1}`},
		{"POST", "/subjects/a-value/versions", quote(same), `200 {"id":1}`},
		{"POST", "/subjects/b%2Fvalue/versions?normalize=true", quote(same), `200 {"id":1}`},
		{"POST", "/subjects/a-value/versions", quote(personV2), `200 {"id":2}`},
		{"GET", "/subjects", "", `200 ["a-value","b/value"]`},
		{"GET", "/subjects?subjectPrefix=b", "", `200 ["b/value"]`},
		{"GET", "/subjects/a-value/versions", "", `200 [1,2]`},
		{"GET", "/subjects/a-value/versions/1", "", fmt.Sprintf(`200 {"subject":"a-value","version":1,"id":1,"schema":%q}`, personV1)},
		{"GET", "/subjects/a-value/versions/latest", "", fmt.Sprintf(`200 {"subject":"a-value","version":2,"id":2,"schema":%q}`, personV2)},
		{"GET", "/subjects/a-value/versions/latest/schema", "", `200 ` + personV2},
		{"GET", "/subjects/a-value/versions/1/referencedby", "", `200 []`},
		{"GET", "/schemas/ids/1", "", fmt.Sprintf(`200 {"schema":%q}`, personV1)},
		{"GET", "/schemas/ids/1?fetchMaxId=true", "", fmt.Sprintf(`200 {"maxId":2,"schema":%q}`, personV1)},
		{"GET", "/schemas/ids/2/schema", "", `200 ` + personV2},
		{"GET", "/schemas/ids/1/versions", "", `200 [{"subject":"a-value","version":1},{"subject":"b/value","version":1}]`},
		{"GET", "/schemas/ids/1/subjects", "", `200 ["a-value","b/value"]`},
		{"GET", "/schemas/types", "", `200 ["AVRO"]`},
		{"POST", "/subjects/a-value", quote(same), fmt.Sprintf(`200 {"subject":"a-value","version":1,"id":1,"schema":%q}`, personV1)},
		{"GET", "/", "", `200 {}`},
	})
}

func TestRefusalsHaveConfluentsCodes(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	run(t, s, []step{
		{"POST", "/subjects/a/versions", quote(personV1), `200 {"id":1}`},
		{"GET", "/subjects/none/versions", "", `404 40401`},
		{"GET", "/subjects/none/versions/1", "", `404 40401`},
		{"POST", "/subjects/none", quote(personV1), `404 40401`},
		{"GET", "/subjects/a/versions/2", "", `404 40402`},
		{"GET", "/subjects/a/versions/zero", "", `422 42202`},
		{"GET", "/subjects/a/versions/0", "", `422 42202`},
		{"POST", "/subjects/a", quote(personV2), `404 40403`},
		{"GET", "/schemas/ids/9", "", `404 40403`},
		{"POST", "/subjects/a/versions", quote(`{"type":"record"}`), `422 42201`},
		{"POST", "/subjects/a/versions", quote(`nothing`), `422 42201`},
		{"POST", "/subjects/a/versions", quote(``), `422 42201`},
		{"POST", "/subjects/a", quote(`{"type":"nonsense"}`), `422 42201`},
		{"POST", "/subjects/a/versions", `{"schema":"\"int\"","schemaType":"JSON"}`, `422 42201`},
		{"POST", "/subjects/a/versions", `{"schema":"\"int\"","references":[{"name":"x","subject":"y","version":1}]}`, `422 42201`},
		{"POST", "/subjects/a/versions", `{"schema":`, `400 400`},
		{"POST", "/subjects/b/versions", `{"schema":"\"int\"","id":7}`, `422 42205`},
		{"POST", "/subjects/a/versions", quote(personV3), `409 409`},
		{"PUT", "/config", `{"compatibility":"SIDEWAYS"}`, `422 42203`},
		{"PUT", "/mode", `{"mode":"NONE"}`, `422 42204`},
		{"PUT", "/mode", `{"mode":"IMPORT"}`, `422 42205`},
		{"GET", "/nowhere", "", `404 404`},
	})
}

func TestCompatibilityFollowsTheSubjectsLevel(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	check := "/compatibility/subjects/a/versions"
	run(t, s, []step{
		{"POST", check + "/latest", quote(personV3), `200 {"is_compatible":true}`},
		{"POST", check, quote(personV3), `200 {"is_compatible":true}`},
		{"POST", check + "/1", quote(personV3), `404 40401`},
		{"POST", "/subjects/a/versions", quote(personV1), `200 {"id":1}`},
		{"POST", check + "/latest", quote(personV2), `200 {"is_compatible":true}`},
		{"POST", check + "/1", quote(personV3), `200 {"is_compatible":false}`},
		{"POST", check + "/2", quote(personV3), `404 40402`},
		{"POST", check, quote(personV3), `200 {"is_compatible":false}`},
		{"GET", "/config", "", `200 {"compatibilityLevel":"BACKWARD"}`},
		{"GET", "/config/a", "", `404 40408`},
		{"GET", "/config/a?defaultToGlobal=true", "", `200 {"compatibilityLevel":"BACKWARD"}`},
		{"PUT", "/config/a", `{"compatibility":"none"}`, `200 {"compatibility":"NONE"}`},
		{"GET", "/config/a", "", `200 {"compatibilityLevel":"NONE"}`},
		{"POST", "/subjects/a/versions", quote(personV3), `200 {"id":2}`},
		{"DELETE", "/config/a", "", `200 {"compatibilityLevel":"NONE"}`},
		{"DELETE", "/config/a", "", `404 40401`},
		{"PUT", "/config", `{"compatibility":"FULL"}`, `200 {"compatibility":"FULL"}`},
		{"GET", "/config/a?defaultToGlobal=true", "", `200 {"compatibilityLevel":"FULL"}`},
		{"DELETE", "/config", "", `200 {"compatibilityLevel":"BACKWARD"}`},
	})
	got := ask(t, s, "POST", check+"/1?verbose=true", quote(personV3))
	if !strings.Contains(got, `"messages":["`) || !strings.Contains(got, "nick") {
		t.Errorf("verbose: got %s, want messages that name the field", got)
	}
}

func TestDeletesAreSoftFirst(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	run(t, s, []step{
		{"POST", "/subjects/a/versions", quote(personV1), `200 {"id":1}`},
		{"POST", "/subjects/a/versions", quote(personV2), `200 {"id":2}`},
		{"DELETE", "/subjects/a/versions/2?permanent=true", "", `404 40407`},
		{"DELETE", "/subjects/a/versions/2", "", `200 2`},
		{"DELETE", "/subjects/a/versions/2", "", `404 40406`},
		{"GET", "/subjects/a/versions", "", `200 [1]`},
		{"GET", "/subjects/a/versions?deleted=true", "", `200 [1,2]`},
		{"GET", "/subjects/a/versions/2", "", `404 40402`},
		{"GET", "/schemas/ids/2/schema", "", `200 ` + personV2},
		{"GET", "/schemas/ids/2/versions", "", `200 []`},
		{"POST", "/subjects/a/versions", quote(personV2), `200 {"id":2}`},
		{"GET", "/subjects/a/versions?deleted=true", "", `200 [1,2,3]`},
		{"DELETE", "/subjects/a?permanent=true", "", `404 40405`},
		{"DELETE", "/subjects/a", "", `200 [1,3]`},
		{"DELETE", "/subjects/a", "", `404 40404`},
		{"GET", "/subjects", "", `200 []`},
		{"GET", "/subjects?deleted=true", "", `200 ["a"]`},
		{"DELETE", "/subjects/a?permanent=true", "", `200 [1,2,3]`},
		{"GET", "/schemas/ids/2/schema", "", `404 40403`},
		{"DELETE", "/subjects/a", "", `404 40401`},
		{"POST", "/subjects/a/versions", quote(personV2), `200 {"id":3}`},
		{"GET", "/subjects/a/versions", "", `200 [1]`},
	})
}

func TestReadOnlyModeRefusesChanges(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	run(t, s, []step{
		{"POST", "/subjects/a/versions", quote(personV1), `200 {"id":1}`},
		{"GET", "/mode", "", `200 {"mode":"READWRITE"}`},
		{"PUT", "/mode/a", `{"mode":"READONLY"}`, `200 {"mode":"READONLY"}`},
		{"POST", "/subjects/a/versions", quote(personV2), `422 42205`},
		{"DELETE", "/subjects/a", "", `422 42205`},
		{"DELETE", "/subjects/a/versions/1", "", `422 42205`},
		{"POST", "/subjects/b/versions", quote(personV2), `200 {"id":2}`},
		{"DELETE", "/mode/a", "", `200 {"mode":"READONLY"}`},
		{"GET", "/mode/a", "", `404 40409`},
		{"POST", "/subjects/a/versions", quote(personV2), `200 {"id":2}`},
	})
}

func TestIDsSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := Start(Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	run(t, first, []step{
		{"POST", "/subjects/a/versions", quote(personV1), `200 {"id":1}`},
		{"POST", "/subjects/a/versions", quote(personV2), `200 {"id":2}`},
		{"DELETE", "/subjects/a/versions/2", "", `200 2`},
		{"DELETE", "/subjects/a/versions/2?permanent=true", "", `200 2`},
		{"PUT", "/config/a", `{"compatibility":"FULL"}`, `200 {"compatibility":"FULL"}`},
	})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "schemas.jsonl")
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"kind":"schema","subject":"cut off by a cra`); err != nil {
		t.Fatal(err)
	}
	f.Close()

	second, err := Start(Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	run(t, second, []step{
		{"GET", "/subjects", "", `200 ["a"]`},
		{"GET", "/config/a", "", `200 {"compatibilityLevel":"FULL"}`},
		{"GET", "/schemas/ids/1/schema", "", `200 ` + personV1},
		{"POST", "/subjects/b/versions", quote(personV2), `200 {"id":3}`},
	})
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, start(t, Config{DataDir: dir}), []step{
		{"GET", "/subjects", "", `200 ["a","b"]`},
		{"GET", "/schemas/ids/3/schema", "", `200 ` + personV2},
	})
	if err := os.WriteFile(file, []byte("no record\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir); err == nil || !strings.Contains(err.Error(), "schemas.jsonl:1") {
		t.Errorf("a broken file: got error %v, want one that names the line", err)
	}
}

func TestSrclientWorksAgainstIt(t *testing.T) {
	t.Parallel()
	c := srclient.NewSchemaRegistryClient(start(t, Config{}).URL())
	created, err := c.CreateSchema("orders-value", personV1, srclient.Avro)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetSchema(created.ID())
	if err != nil || got.Schema() != personV1 {
		t.Errorf("schema by id: got %v, %v", got, err)
	}
	if ok, err := c.IsSchemaCompatible("orders-value", personV2, "latest", srclient.Avro); err != nil || !ok {
		t.Errorf("compatible: got %v, %v; want true", ok, err)
	}
	if ok, err := c.IsSchemaCompatible("orders-value", personV3, "latest", srclient.Avro); err != nil || ok {
		t.Errorf("compatible: got %v, %v; want false", ok, err)
	}
	if found, err := c.LookupSchema("orders-value", same, srclient.Avro); err != nil || found.ID() != created.ID() || found.Version() != 1 {
		t.Errorf("lookup: got %v, %v", found, err)
	}
	if latest, err := c.GetLatestSchema("orders-value"); err != nil || latest.Version() != 1 {
		t.Errorf("latest: got %v, %v", latest, err)
	}
	if level, err := c.GetCompatibilityLevel("orders-value", true); err != nil || *level != srclient.Backward {
		t.Errorf("level: got %v, %v", level, err)
	}
	if level, err := c.ChangeSubjectCompatibilityLevel("orders-value", srclient.Full); err != nil || *level != srclient.Full {
		t.Errorf("change the level: got %v, %v", level, err)
	}
	if err := c.DeleteSubject("orders-value", false); err != nil {
		t.Error(err)
	}
	if err := c.DeleteSubject("orders-value", true); err != nil {
		t.Error(err)
	}
}
