package kafka

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tailrace/tailrace/cdc"
)

// Key is the key schema that a table's records have in a topic; nil: none is
// pinned. A table that has another name now is known by its OID.
func (p *Publisher) Key(topic string, t *cdc.Table) *cdc.KeyPin {
	tables := p.keys[topic]
	if pin, ok := tables[t.String()]; ok {
		return &pin
	}
	for _, pin := range tables {
		if pin.OID == t.OID {
			return &pin
		}
	}
	return nil
}

// PinKey pins the key schema of a table's records. It is durable with the next
// Commit.
func (p *Publisher) PinKey(ctx context.Context, topic string, pin cdc.KeyPin) error {
	value, err := json.Marshal(pin)
	if err != nil {
		return fmt.Errorf("key schema of topic %q: %w", topic, err)
	}
	if err := p.Note(ctx, cdc.Note{Key: keyKey + topic + "/" + pin.Table, Value: value}); err != nil {
		return err
	}
	p.keep(pin)
	return nil
}

func (p *Publisher) keep(pin cdc.KeyPin) {
	if p.keys[pin.Topic] == nil {
		p.keys[pin.Topic] = map[string]cdc.KeyPin{}
	}
	p.keys[pin.Topic][pin.Table] = pin
}
