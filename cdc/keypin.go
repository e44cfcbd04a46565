package cdc

import (
	"context"
	"fmt"
)

// This file holds a table's key to the schema that its records have in a topic.
//
// What can go wrong without it: a column of the key gets another default, the
// registry another version of the key's schema, and keys another id in front. With
// a partitioner that hashes all bytes every row then moves to another partition,
// where its changes come before or after the earlier ones as it happens; and a
// compacted topic takes both keys for two rows. A key of other columns or types
// does the same under any partitioner, so nobody but a person decides it.
//
// Killed between the first record and the pin: they are in one Kafka transaction,
// and the pin stands before the record where there is none.

// movedKey is the stop at a key of another shape.
func movedKey(rt *route, base string, changed *KeyChangedError) error {
	return &StopError{What: "the key of a table has changed, so that rows would leave their partitions", Pos: rt.table.String() + ", topic " + rt.topic, Err: changed,
		Next: fmt.Sprintf("set kafka.on_key_change: new_topic to go on in %s.v%d, or give the table its earlier key by tables.overrides, and start the relay again", base, topicVersion(base, rt.topic)+1)}
}

// keepsKey stops where the registry has given the pinned text another id, because
// it lost what it held, and the id decides over partitions.
func (r *Relay) keepsKey(rt *route, pin *KeyPin) error {
	if pin == nil || pin.ID == rt.plan.KeyID() || !r.Config.WholeKey {
		return nil
	}
	return &StopError{What: fmt.Sprintf("the registry has the key schema of a table under id %d, it had it under %d: keys would change their partition", rt.plan.KeyID(), pin.ID),
		Pos: rt.table.String() + ", topic " + rt.topic, Next: "restore the registry's schemas, or begin anew under another name"}
}

// pinKey makes the key's schema the one that stands, where it is not yet.
func (r *Relay) pinKey(ctx context.Context, rt *route) error {
	text := rt.plan.KeySchema()
	if text == "" {
		return nil
	}
	pin := KeyPin{Version: 1, Topic: rt.topic, Table: rt.source.String(), OID: rt.source.OID, ID: rt.plan.KeyID(), Schema: text}
	if now := r.Log.Key(rt.topic, rt.source); now != nil && *now == pin {
		return nil
	}
	return r.Log.PinKey(ctx, rt.topic, pin)
}
