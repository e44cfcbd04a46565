package registry

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/riferrei/srclient"
)

// Verdict is what the registry would say to a schema, without registering it.
type Verdict struct {
	Subject string
	// Level is the compatibility level that holds for the subject: its own, else
	// the registry's; "" where there is none.
	Level      string
	Version    int    // the latest; 0: the subject does not exist yet
	Latest     string // the latest version's text
	Registered bool   // the subject has this very schema, so nothing would be registered
	Compatible bool
	Reasons    []string // of a registry that would refuse it; some registries give none
}

// Ask gives the verdict on a schema. A schema that is registered already is
// compatible, whatever the level has become since.
func (c *Client) Ask(ctx context.Context, subject, schema string) (Verdict, error) {
	v := Verdict{Subject: subject}
	var err error
	if v.Level, err = c.Level(ctx, subject); err != nil {
		return v, err
	}
	switch v.Version, v.Latest, err = c.latest(ctx, subject); {
	case errors.Is(err, ErrNotFound):
		v.Compatible = true
		return v, nil
	case err != nil:
		return v, err
	}
	_, err = c.Lookup(ctx, subject, schema)
	switch {
	case err == nil:
		v.Registered, v.Compatible = true, true
		return v, nil
	case !errors.Is(err, ErrNotFound):
		return v, err
	}
	v.Compatible, v.Reasons, err = c.Compatible(ctx, subject, schema)
	return v, err
}

// Level is the compatibility level that holds for a subject: its own, else the
// registry's, "" where there is none. It is never changed by us.
func (c *Client) Level(ctx context.Context, subject string) (string, error) {
	t := &trip{ctx: ctx, operation: "level"}
	level, err := c.call(t).GetCompatibilityLevel(subject, true)
	err = t.outcome("level", subject, err)
	switch {
	case errors.Is(err, ErrNotFound): // a subject that is not there, or a registry that does not know the default
		return c.level(ctx)
	case err != nil || level == nil:
		return "", err
	}
	return string(*level), nil
}

// latest is the latest version of a subject; ErrNotFound if it has none.
func (c *Client) latest(ctx context.Context, subject string) (int, string, error) {
	t := &trip{ctx: ctx, operation: "latest"}
	found, err := c.call(t).GetLatestSchema(subject)
	if err := t.outcome("latest", subject, err); err != nil {
		return 0, "", err
	}
	return found.Version(), found.Schema(), nil
}

// maxVersions bounds how far back Versions goes.
const maxVersions = 100

// Versions is the level that holds for a subject, and the schemas that the level
// compares a new one with, oldest first: the latest, or for a transitive level all
// (the last hundred). A subject that does not exist yet has none.
func (c *Client) Versions(ctx context.Context, subject string) (level string, schemas []string, err error) {
	if level, err = c.Level(ctx, subject); err != nil {
		return "", nil, err
	}
	if !strings.HasSuffix(level, "_TRANSITIVE") {
		_, text, err := c.latest(ctx, subject)
		switch {
		case errors.Is(err, ErrNotFound):
			return level, nil, nil
		case err != nil:
			return "", nil, err
		}
		return level, []string{text}, nil
	}
	t := &trip{ctx: ctx, operation: "versions"}
	versions, err := c.call(t).GetSchemaVersions(subject)
	err = t.outcome("versions", subject, err)
	switch {
	case errors.Is(err, ErrNotFound):
		return level, nil, nil
	case err != nil:
		return "", nil, err
	}
	slices.Sort(versions)
	for _, n := range versions[max(0, len(versions)-maxVersions):] {
		t := &trip{ctx: ctx, operation: "version"}
		var found *srclient.Schema
		found, err = c.call(t).GetSchemaByVersion(subject, n)
		if err := t.outcome("version", subject, err); errors.Is(err, ErrNotFound) {
			continue // deleted meanwhile
		} else if err != nil {
			return "", nil, err
		}
		schemas = append(schemas, found.Schema())
	}
	return level, schemas, nil
}
