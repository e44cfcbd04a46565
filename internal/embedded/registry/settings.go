package registry

import (
	"net/http"
	"slices"
	"strings"
)

// levels are the compatibility levels that can be set.
var levels = []string{"NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"}

// setting is one of the two things that are set globally and by subject.
type setting struct {
	kind    string
	values  func(*state) map[string]string
	initial string
	inReply string                     // its name in replies
	read    func(request) string       // its value in a request
	check   func(string) error         // nil: it may be set
	echo    func(value string) any     // the reply to PUT
	missing func(subject string) error // GET of a subject without its own
}

// request is the body of PUT /config and PUT /mode.
type request struct {
	Compatibility string `json:"compatibility"`
	Level         string `json:"compatibilityLevel"`
	Mode          string `json:"mode"`
}

var compatibility = setting{
	kind:    kindConfig,
	values:  func(s *state) map[string]string { return s.levels },
	initial: defaultLevel,
	inReply: "compatibilityLevel",
	read: func(q request) string {
		if q.Compatibility == "" {
			return q.Level
		}
		return q.Compatibility
	},
	check: func(v string) error {
		if !slices.Contains(levels, v) {
			return failure(42203, "Invalid compatibility level %q. Valid values are %s", v, strings.Join(levels, ", "))
		}
		return nil
	},
	echo: func(v string) any { return map[string]string{"compatibility": v} },
	missing: func(subject string) error {
		return failure(40408, "Subject '%s' does not have subject-level compatibility configured", subject)
	},
}

var mode = setting{
	kind:    kindMode,
	values:  func(s *state) map[string]string { return s.modes },
	initial: readWrite,
	inReply: "mode",
	read:    func(q request) string { return q.Mode },
	check: func(v string) error {
		switch v {
		case readWrite, readOnly:
			return nil
		case "IMPORT":
			return failure(42205, "Operation not permitted: this registry has no import mode")
		}
		return failure(42204, "Invalid mode %q. Valid values are %s, %s", v, readWrite, readOnly)
	},
	echo: func(v string) any { return map[string]string{"mode": v} },
	missing: func(subject string) error {
		return failure(40409, "Subject '%s' does not have subject-level mode configured", subject)
	},
}

func (r *Registry) settingRoutes(m *http.ServeMux) {
	for path, s := range map[string]setting{"/config": compatibility, "/mode": mode} {
		for _, suffix := range []string{"", "/{subject}"} {
			m.Handle("GET "+path+suffix, r.getSetting(s))
			m.Handle("PUT "+path+suffix, r.putSetting(s))
			m.Handle("DELETE "+path+suffix, r.deleteSetting(s))
		}
	}
}

func (r *Registry) getSetting(s setting) call {
	return func(q *http.Request) (any, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		subject, values := q.PathValue("subject"), s.values(r.st)
		if _, own := values[subject]; subject != "" && !own && !flag(q, "defaultToGlobal") {
			return nil, s.missing(subject)
		}
		return map[string]string{s.inReply: inScope(values, subject, s.initial)}, nil
	}
}

func (r *Registry) putSetting(s setting) call {
	return func(q *http.Request) (any, error) {
		req, err := body[request](q)
		if err != nil {
			return nil, err
		}
		value := strings.ToUpper(s.read(req))
		if err := s.check(value); err != nil {
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		return s.echo(value), r.commit(record{Kind: s.kind, Subject: q.PathValue("subject"), Value: value})
	}
}

// deleteSetting answers with the value that was removed, or with the default
// that a global one goes back to.
func (r *Registry) deleteSetting(s setting) call {
	return func(q *http.Request) (any, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		subject := q.PathValue("subject")
		old, own := s.values(r.st)[subject]
		if subject == "" {
			old = s.initial
		} else if !own {
			return nil, failure(40401, "Subject '%s' not found.", subject)
		}
		return map[string]string{s.inReply: old}, r.commit(record{Kind: s.kind, Subject: subject})
	}
}
