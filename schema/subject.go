package schema

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// The naming strategies of Confluent's serializers, as registry.subject has them.
// A consumer takes the schema's id from the record and needs no subject; what
// looks a subject up (a UI, a connector's configuration, a compatibility check)
// goes by these rules:
//
//	topic         TopicNameStrategy        <topic>-key, <topic>-value
//	record        RecordNameStrategy       the record's full name
//	topic_record  TopicRecordNameStrategy  <topic>-<the record's full name>
//
// The topic is Kafka's own name for it, unadjusted; the full name is Avro's,
// adjusted. The last two have no suffix for key and value: the names differ.
const (
	subjectTopic       = "topic"
	subjectRecord      = "record"
	subjectTopicRecord = "topic_record"
)

// Subjects are the subjects under which the schemas of a topic's records are
// registered. A schema that is empty, as a table's without key, has none. The
// schemas have to be records, as all of this package's are.
func (s Settings) Subjects(topic, keySchema, valueSchema string) (key, value string, err error) {
	if keySchema != "" {
		if key, err = s.subject(topic, keySchema, "-key"); err != nil {
			return "", "", fmt.Errorf("key schema of topic %s: %w", topic, err)
		}
	}
	if valueSchema != "" {
		if value, err = s.subject(topic, valueSchema, "-value"); err != nil {
			return "", "", fmt.Errorf("value schema of topic %s: %w", topic, err)
		}
	}
	return key, value, nil
}

func (s Settings) subject(topic, schema, suffix string) (string, error) {
	switch s.Subject {
	case subjectRecord, subjectTopicRecord:
		name, err := recordName(schema)
		if err != nil || s.Subject == subjectRecord {
			return name, err
		}
		return topic + "-" + name, nil
	}
	return topic + suffix, nil
}

// recordName is the full name of a record's schema.
func recordName(schema string) (string, error) {
	var record struct{ Type, Name, Namespace string }
	if err := json.Unmarshal([]byte(schema), &record); err != nil {
		return "", fmt.Errorf("not the schema of a record: %w", err)
	}
	if record.Type != "record" || record.Name == "" {
		return "", fmt.Errorf("not the schema of a record: type %q, name %q", record.Type, record.Name)
	}
	if record.Namespace == "" || strings.Contains(record.Name, ".") {
		return record.Name, nil
	}
	return record.Namespace + "." + record.Name, nil
}

// accept proves the schemas of a topic's records and has the registry accept
// them. of says in errors whose records they are. A key schema that is empty is
// left out. A schema that the registry refuses is a *cdc.RefusedError.
func (e *Encoder) accept(ctx context.Context, of, topic, key, value string) (keyID, valueID int, err error) {
	for _, text := range []string{key, value} {
		if err := prove(text); err != nil {
			return 0, 0, &cdc.StopError{What: "no valid Avro schema", Pos: of, Err: err, Next: "choose another format.names, or leave it out"}
		}
	}
	keySubject, valueSubject, err := e.settings.Subjects(topic, key, value)
	if err != nil {
		return 0, 0, err
	}
	if key != "" {
		if keyID, err = e.registry.Register(ctx, keySubject, key); err != nil {
			return 0, 0, fmt.Errorf("register key schema of %s: %w", of, e.refused(ctx, keySubject, key, err))
		}
	}
	if valueID, err = e.registry.Register(ctx, valueSubject, value); err != nil {
		return 0, 0, fmt.Errorf("register value schema of %s: %w", of, e.refused(ctx, valueSubject, value, err))
	}
	return keyID, valueID, nil
}
