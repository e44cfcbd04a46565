package schema

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// The records that belong to no table: logical messages, transaction metadata
// and heartbeats. Their schemas do not depend on the catalog and are Debezium's
// text, whatever the settings but Binary.

const messageKeySchema = `{"type":"record","name":"MessageKey","namespace":"io.debezium.connector.postgresql","fields":[{"name":"prefix","type":["null","string"],"default":null}],` +
	`"connect.version":1,"connect.name":"io.debezium.connector.postgresql.MessageKey"}`

// messageValueSchema is the schema of messages whose content is of an Avro type.
// Its records take their namespace from it, so the source block has none.
func messageValueSchema(content string) string {
	return `{"type":"record","name":"MessageValue","namespace":"io.debezium.connector.postgresql","fields":[{"name":"op","type":"string"},` + optionalLong("ts_ms") +
		`,{"name":"source","type":` + strings.Replace(sourceSchema, `,"namespace":"io.debezium.connector.postgresql"`, "", 1) +
		`},{"name":"transaction","type":["null",` + transactionSchema + `],"default":null},` +
		`{"name":"message","type":{"type":"record","name":"Message","fields":[{"name":"prefix","type":["null","string"],"default":null},{"name":"content","type":["null","` + content +
		`"],"default":null}],"connect.version":1,"connect.name":"io.debezium.connector.postgresql.Message"}}],` +
		`"connect.version":1,"connect.name":"io.debezium.connector.postgresql.MessageValue"}`
}

const transactionKeySchema = `{"type":"record","name":"TransactionMetadataKey","namespace":"io.debezium.connector.common","fields":[{"name":"id","type":"string"}],` +
	`"connect.version":1,"connect.name":"io.debezium.connector.common.TransactionMetadataKey"}`

const transactionValueSchema = `{"type":"record","name":"TransactionMetadataValue","namespace":"io.debezium.connector.common","fields":[{"name":"status","type":"string"},{"name":"id","type":"string"},` +
	`{"name":"event_count","type":["null","long"],"default":null},{"name":"data_collections","type":["null",{"type":"array","items":["null",` +
	`{"type":"record","name":"collection","namespace":"event","fields":[{"name":"data_collection","type":"string"},{"name":"event_count","type":"long"}],"connect.version":1,"connect.name":"event.collection"}]}],"default":null},` +
	`{"name":"ts_ms","type":"long"}],"connect.version":1,"connect.name":"io.debezium.connector.common.TransactionMetadataValue"}`

const heartbeatKeySchema = `{"type":"record","name":"ServerNameKey","namespace":"io.debezium.connector.common","fields":[{"name":"serverName","type":"string"}],` +
	`"connect.version":1,"connect.name":"io.debezium.connector.common.ServerNameKey"}`

const heartbeatValueSchema = `{"type":"record","name":"Heartbeat","namespace":"io.debezium.connector.common","fields":[{"name":"ts_ms","type":"long"}],` +
	`"connect.version":1,"connect.name":"io.debezium.connector.common.Heartbeat"}`

// SideSchemas are the texts of the records that belong to no table, for those who
// show or check schemas before anything is registered.
type SideSchemas struct{ Key, Value string }

// DescribeMessages is the text of logical messages.
func DescribeMessages(s Settings) SideSchemas {
	content := "string"
	if s.Binary == "" || s.Binary == "bytes" {
		content = "bytes"
	}
	return SideSchemas{messageKeySchema, messageValueSchema(content)}
}

// DescribeTransactions is the text of transaction metadata.
func DescribeTransactions() SideSchemas {
	return SideSchemas{transactionKeySchema, transactionValueSchema}
}

// DescribeHeartbeats is the text of heartbeats.
func DescribeHeartbeats() SideSchemas { return SideSchemas{heartbeatKeySchema, heartbeatValueSchema} }

// Messages registers the schemas of logical messages for a topic and makes their
// plan, which is not safe for concurrent use. A message outside a transaction has
// an envelope whose Tx has no XID, and no TransactionID.
func (e *Encoder) Messages(ctx context.Context, topic string) (cdc.MessagePlan, error) {
	// The source block of a table without name is that of a message.
	blocks, err := compilePlan(e.settings, &cdc.Table{}, topic)
	if err != nil {
		return nil, err
	}
	p := &messagePlan{blocks: blocks}
	switch e.settings.Binary {
	case "base64":
		p.base64 = base64.StdEncoding
	case "base64-url-safe":
		p.base64 = base64.URLEncoding
	case "hex":
		p.hex = true
	}
	text := DescribeMessages(e.settings)
	if p.keyID, p.valueID, err = e.accept(ctx, "logical messages", topic, text.Key, text.Value); err != nil {
		return nil, err
	}
	return p, nil
}

type messagePlan struct {
	blocks         *Plan // writes source and transaction
	keyID, valueID int
	base64         *base64.Encoding // of content; nil: bytes, or hex
	hex            bool
}

// AppendKey implements cdc.MessagePlan.
func (p *messagePlan) AppendKey(dst []byte, prefix string) []byte {
	return appendString(append(appendHeader(dst, p.keyID), 2), prefix)
}

// AppendValue implements cdc.MessagePlan.
func (p *messagePlan) AppendValue(dst []byte, e *cdc.Envelope, prefix string, content []byte) []byte {
	dst = append(appendHeader(dst, p.valueID), 2, byte(cdc.OpMessage))
	dst = appendLong(append(dst, 2), floorDiv(e.Now, 1_000_000))
	dst = p.blocks.appendSource(dst, e)
	dst = appendTransaction(dst, e)
	dst = append(appendString(append(dst, 2), prefix), 2)
	switch {
	case p.base64 != nil:
		return p.base64.AppendEncode(appendLong(dst, int64(p.base64.EncodedLen(len(content)))), content)
	case p.hex:
		return hex.AppendEncode(appendLong(dst, int64(hex.EncodedLen(len(content)))), content)
	}
	return appendBytes(dst, content)
}

// appendTransaction appends the block transaction, or its null.
func appendTransaction(dst []byte, e *cdc.Envelope) []byte {
	if len(e.TransactionID) == 0 {
		return append(dst, 0)
	}
	dst = appendBytes(append(dst, 2), e.TransactionID)
	return appendLong(appendLong(dst, e.TotalOrder), e.TableOrder)
}

// Transactions registers the schemas of transaction metadata for a topic and
// makes their plan, which is safe for concurrent use.
func (e *Encoder) Transactions(ctx context.Context, topic string) (cdc.TransactionPlan, error) {
	var p transactionPlan
	var err error
	text := DescribeTransactions()
	if p.keyID, p.valueID, err = e.accept(ctx, "transaction metadata", topic, text.Key, text.Value); err != nil {
		return nil, err
	}
	return &p, nil
}

type transactionPlan struct{ keyID, valueID int }

// AppendKey implements cdc.TransactionPlan.
func (p *transactionPlan) AppendKey(dst, id []byte) []byte {
	return appendBytes(appendHeader(dst, p.keyID), id)
}

// AppendValue implements cdc.TransactionPlan. A beginning has neither a count nor
// data collections; the end of a transaction without events has zero and an empty
// list, not null.
func (p *transactionPlan) AppendValue(dst []byte, m *cdc.TransactionMark) []byte {
	dst = appendHeader(dst, p.valueID)
	if !m.End {
		dst = appendBytes(appendString(dst, "BEGIN"), m.ID)
		return appendLong(append(dst, 0, 0), floorDiv(m.CommitTime, 1000))
	}
	dst = appendBytes(appendString(dst, "END"), m.ID)
	var events int64
	for i := range m.Tables {
		events += m.Tables[i].Events
	}
	dst = append(appendLong(append(dst, 2), events), 2)
	if len(m.Tables) > 0 {
		dst = appendLong(dst, int64(len(m.Tables)))
		for i := range m.Tables {
			dst = appendString(append(dst, 2), m.Tables[i].Table)
			dst = appendLong(dst, m.Tables[i].Events)
		}
	}
	return appendLong(append(dst, 0), floorDiv(m.CommitTime, 1000))
}

// Heartbeats registers the schemas of heartbeats for a topic and makes their
// plan, which is safe for concurrent use.
func (e *Encoder) Heartbeats(ctx context.Context, topic string) (cdc.HeartbeatPlan, error) {
	p := heartbeatPlan{name: e.settings.Name}
	var err error
	text := DescribeHeartbeats()
	if p.keyID, p.valueID, err = e.accept(ctx, "heartbeats", topic, text.Key, text.Value); err != nil {
		return nil, err
	}
	return &p, nil
}

type heartbeatPlan struct {
	name           string
	keyID, valueID int
}

// AppendKey implements cdc.HeartbeatPlan.
func (p *heartbeatPlan) AppendKey(dst []byte) []byte {
	return appendString(appendHeader(dst, p.keyID), p.name)
}

// AppendValue implements cdc.HeartbeatPlan.
func (p *heartbeatPlan) AppendValue(dst []byte, now int64) []byte {
	return appendLong(appendHeader(dst, p.valueID), floorDiv(now, 1_000_000))
}
