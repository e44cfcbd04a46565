package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// Candidate is a schema that the relay would register.
type Candidate struct {
	Subject string
	Schema  string
}

// Check reports whether the registry answers and takes the candidates. With
// mustExist they have to be there already, since nothing registers them.
func Check(ctx context.Context, c *Client, candidates []Candidate, mustExist bool) []cdc.Finding {
	level, err := c.level(ctx)
	if err != nil {
		f := cdc.Finding{Level: cdc.LevelError, Name: "registry", What: err.Error(), Remedy: "start the registry, or correct registry.url"}
		if errors.Is(err, ErrAuth) {
			f.Remedy = "set registry.username and registry.password_file"
		}
		return []cdc.Finding{f}
	}
	findings := []cdc.Finding{{Level: cdc.LevelInfo, Name: "registry", What: "the registry answers at " + strings.Join(c.urls(), ", ")}}
	if level == "" || level == "NONE" {
		findings = append(findings, cdc.Finding{
			Level: cdc.LevelWarning, Name: "compatibility", What: "the registry takes any schema (compatibility NONE): a change that consumers cannot read is published",
			Remedy: `set its level, as in: curl -X PUT -H 'Content-Type: application/json' -d '{"compatibility":"BACKWARD"}' ` + strings.TrimSuffix(c.urls()[0], "/") + "/config",
		})
	}
	for _, candidate := range candidates {
		if f, found := c.checkCandidate(ctx, candidate, mustExist); found {
			findings = append(findings, f)
		}
	}
	return findings
}

func (c *Client) checkCandidate(ctx context.Context, candidate Candidate, mustExist bool) (cdc.Finding, bool) {
	if mustExist {
		_, err := c.Lookup(ctx, candidate.Subject, candidate.Schema)
		if errors.Is(err, ErrNotFound) {
			return cdc.Finding{
				Level: cdc.LevelError, Name: "schema",
				What:   fmt.Sprintf("subject %s does not have the schema that its table needs, and registry.auto_register is off", candidate.Subject),
				Remedy: "register it, or set registry.auto_register: true",
			}, true
		}
		return unasked(candidate, err)
	}
	ok, messages, err := c.Compatible(ctx, candidate.Subject, candidate.Schema)
	if err != nil || ok {
		return unasked(candidate, err)
	}
	return cdc.Finding{
		Level: cdc.LevelError, Name: "schema",
		What:   fmt.Sprintf("subject %s: the registry would refuse the schema: %s", candidate.Subject, strings.Join(messages, "; ")),
		Remedy: "undo the change of the table, or change the subject's compatibility level",
	}, true
}

func unasked(candidate Candidate, err error) (cdc.Finding, bool) {
	if err == nil {
		return cdc.Finding{}, false
	}
	return cdc.Finding{
		Level: cdc.LevelError, Name: "schema",
		What:   fmt.Sprintf("subject %s: %v", candidate.Subject, err),
		Remedy: "run relay check again once the registry answers",
	}, true
}
