// Package registry is a schema registry for Avro with Confluent's REST API, for
// the demo and for tests. It runs in this process and needs neither Kafka nor
// Java. Verdicts about compatibility are those of schema.Compatible, as in
// Confluent's registry with default settings: level BACKWARD, ids shared by
// equal schemas of all subjects, soft deletes before permanent ones.
//
// It knows AVRO only, and no references, contexts, metadata, rule sets or
// import mode; a request for one of these is refused and says so. Two schemas
// are equal when they are equal as JSON, whatever their spacing and the order of
// their properties, so normalize=true changes nothing.
package registry

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/tailrace/tailrace/schema"
)

// Registry is the registry. It is an http.Handler and safe for concurrent use.
type Registry struct {
	mux *http.ServeMux

	mu  sync.Mutex // guards the following
	st  *state
	log *journal // nil: in memory
}

// New makes a registry that keeps everything in memory, or, with a folder, in a
// file of that folder, so that ids survive a restart.
func New(dataDir string) (*Registry, error) {
	r := &Registry{st: newState()}
	r.mux = r.routes()
	if dataDir != "" {
		log, err := openJournal(dataDir, r.st)
		if err != nil {
			return nil, err
		}
		r.log = log
	}
	return r, nil
}

// Close closes the file, if there is one.
func (r *Registry) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.log == nil {
		return nil
	}
	err := r.log.close()
	r.log = nil
	return err
}

// commit makes records durable, then visible. Call it with r.mu held.
func (r *Registry) commit(records ...record) error {
	if r.log != nil {
		if err := r.log.append(records); err != nil {
			return failure(50001, "Error in the backend data store: %v", err)
		}
	}
	for _, rec := range records {
		r.st.apply(rec)
	}
	return nil
}

// register adds a schema to a subject, unless it is there, and returns its id.
func (r *Registry) register(subject string, req schemaRequest) (int, error) {
	text, err := req.check()
	if err != nil {
		return 0, err
	}
	canon, err := canonical(text)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.writable(subject); err != nil {
		return 0, err
	}
	if req.ID > 0 {
		return 0, failure(42205, "Subject %s is not in import mode", subject)
	}
	live := r.st.live(subject)
	for _, v := range live {
		if r.st.schemas[v.ID].canon == canon {
			return v.ID, nil
		}
	}
	if err := valid(text); err != nil {
		return 0, err
	}
	ok, messages, err := schema.Compatible(r.st.level(subject), text, r.st.texts(live))
	if err != nil {
		return 0, failure(42201, "Invalid schema: %v", err)
	}
	if !ok {
		return 0, failure(409, "Schema being registered is incompatible with an earlier schema for subject %q, details: %q", subject, messages)
	}
	id, known := r.st.ids[canon]
	if !known {
		id = r.st.lastID + 1
	}
	next := 1
	if all := r.st.subjects[subject]; len(all) > 0 {
		next = all[len(all)-1].Version + 1
	}
	return id, r.commit(record{Kind: kindSchema, Subject: subject, Version: next, ID: id, Schema: text})
}

// lookup finds a schema among the versions of a subject, latest first.
func (r *Registry) lookup(subject string, req schemaRequest, deleted bool) (versionReply, error) {
	text, err := req.check()
	if err != nil {
		return versionReply{}, err
	}
	canon, err := canonical(text)
	if err != nil {
		return versionReply{}, err
	}
	if err := valid(text); err != nil {
		return versionReply{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	versions, err := r.versions(subject, deleted)
	if err != nil {
		return versionReply{}, err
	}
	for _, v := range slices.Backward(versions) {
		if r.st.schemas[v.ID].canon == canon {
			return r.reply(subject, v), nil
		}
	}
	return versionReply{}, failure(40403, "Schema not found")
}

// versions are the versions of a subject, oldest first; none is an error. Call it
// with r.mu held.
func (r *Registry) versions(subject string, deleted bool) ([]version, error) {
	versions := r.st.live(subject)
	if deleted {
		versions = r.st.subjects[subject]
	}
	if len(versions) == 0 {
		return nil, failure(40401, "Subject '%s' not found.", subject)
	}
	return versions, nil
}

// version finds one version: a number, "latest" or "-1". Call it with r.mu held.
func (r *Registry) version(subject, name string, deleted bool) (version, error) {
	n := -1
	if name != "latest" {
		var err error
		if n, err = strconv.Atoi(name); err != nil || n < -1 || n == 0 || n > 1<<31-1 {
			return version{}, failure(42202, "The specified version '%s' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", name)
		}
	}
	versions, err := r.versions(subject, deleted)
	if err != nil {
		return version{}, err
	}
	if n == -1 {
		return versions[len(versions)-1], nil
	}
	i, found := slices.BinarySearchFunc(versions, n, func(v version, n int) int { return cmp.Compare(v.Version, n) })
	if !found {
		return version{}, failure(40402, "Version %d not found.", n)
	}
	return versions[i], nil
}

// compatible judges a schema against one version (name set) or against those
// that the subject's level asks for. A subject without versions accepts all.
func (r *Registry) compatible(subject, name string, req schemaRequest) (bool, []string, error) {
	text, err := req.check()
	if err != nil {
		return false, nil, err
	}
	if err := valid(text); err != nil {
		return false, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.st.live(subject)
	if name != "" {
		v, err := r.version(subject, name, false)
		var f *apiError
		switch {
		case err == nil:
			old = []version{v}
		case errors.As(err, &f) && f.Code == 40401 && (name == "latest" || name == "-1"):
		default:
			return false, nil, err
		}
	}
	ok, messages, err := schema.Compatible(r.st.level(subject), text, r.st.texts(old))
	if err != nil {
		return false, nil, failure(42201, "Invalid schema: %v", err)
	}
	return ok, messages, nil
}

// subjects are the names of the subjects, sorted.
func (r *Registry) subjects(keep func(name string, all, live []version) bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(r.st.subjects)) {
		if keep(name, r.st.subjects[name], r.st.live(name)) {
			names = append(names, name)
		}
	}
	return names
}

// writable refuses changes of a subject under READONLY. Call it with r.mu held.
func (r *Registry) writable(subject string) error {
	if r.st.mode(subject) == readOnly {
		return failure(42205, "Subject %s is in read-only mode", subject)
	}
	return nil
}

func (r *Registry) reply(subject string, v version) versionReply {
	return versionReply{Subject: subject, Version: v.Version, ID: v.ID, Schema: r.st.schemas[v.ID].text}
}

func valid(text string) error {
	if _, _, err := schema.Compatible("NONE", text, nil); err != nil {
		return failure(42201, "Invalid schema: %v", err)
	}
	return nil
}
