package cdc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// mostTopicVersions bounds how many versions of a topic are tried: a registry
// that takes none of them refuses for another reason than compatibility.
const mostTopicVersions = 100

// accept has the schemas of a table version accepted and decides, where the
// registry refuses, by registry.on_incompatible:
//
//   - stop: the stream ends with the registry's reason.
//   - dead letter: the route has no plan and its rows go to the dead letters,
//     until a later version of the table is accepted. A restart asks again.
//   - force: the topic's next version, <topic>.v2 and on, whose subjects are new.
//     The version in force stands in the schema topic; later versions of the table
//     and later runs go on from it, or rows would return to a topic that their
//     readers have left.
func (r *Relay) accept(ctx context.Context, rt *route) error {
	base := r.Config.Topic(rt.source)
	rt.topic = r.topicInForce(rt.source, base)
	for {
		pin, text := r.Log.Key(rt.topic, rt.source), ""
		if pin != nil {
			text = pin.Schema
		}
		plan, wide, err := r.Encoder.Plan(ctx, rt.table, rt.topic, text)
		if err == nil {
			rt.plan = plan
			rt.source, rt.table = rt.fold(wide), wide
			return r.keepsKey(rt, pin)
		}
		var changed *KeyChangedError
		if errors.As(err, &changed) {
			next := topicVersion(base, rt.topic) + 1
			if !r.Config.KeyNewTopic || next > mostTopicVersions {
				return movedKey(rt, base, changed)
			}
			was := rt.topic
			rt.topic = base + ".v" + strconv.Itoa(next)
			r.Logger.Warn("a table's key has changed; it goes on in another version of the topic", "table", rt.table.String(), "was", changed.Was, "is", changed.Is, "left", was, "topic", rt.topic)
			continue
		}
		var refused *RefusedError
		if !errors.As(err, &refused) {
			return fmt.Errorf("schemas of %s: %w", rt.table, err)
		}
		next := topicVersion(base, rt.topic) + 1
		switch {
		case r.Config.OnIncompatible == IncompatibleDeadLetter && r.Config.DeadLetter != "":
			r.Logger.Warn("the registry refuses a table's schema; its rows go to the dead letters", "table", rt.table.String(), "subject", refused.Subject, "column", refused.Column, "reason", refused.Err.Error())
			rt.refused = refused
			return nil
		case r.Config.OnIncompatible == IncompatibleForce && next <= mostTopicVersions:
			rt.topic = base + ".v" + strconv.Itoa(next)
			r.Logger.Warn("the registry refuses a table's schema; it goes on in another version of the topic", "table", rt.table.String(), "subject", refused.Subject, "column", refused.Column, "reason", refused.Err.Error(), "topic", rt.topic)
			continue
		}
		return &StopError{What: "the registry refuses a table's schema", Pos: rt.table.String(), Err: refused,
			Next: "make the change compatible, or change the subject's compatibility level, and start the relay again; registry.on_incompatible has other answers"}
	}
}

// topicInForce is the version of a topic that the history knows last, or base.
func (r *Relay) topicInForce(t *Table, base string) string {
	if v := r.History.At(t.OID, r.position()); v != nil && (r.replaying || topicVersion(base, v.Topic) > 1) {
		return v.Topic
	}
	return base
}

// topicVersion is the version of a topic of base: 1 for base itself, and for what
// is no version of it.
func topicVersion(base, topic string) int {
	digits, ok := strings.CutPrefix(topic, base+".v")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 2 {
		return 1
	}
	return n
}

// sideRefused is the error of the schemas that belong to no table: they do not
// change, so a refusal is about the subject's own history.
func sideRefused(topic string, err error) error {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return fmt.Errorf("schemas of topic %s: %w", topic, err)
	}
	return &StopError{What: "the registry refuses the schema of topic " + topic, Err: refused,
		Next: "remove the subject's other versions or change its compatibility level, and start the relay again"}
}
