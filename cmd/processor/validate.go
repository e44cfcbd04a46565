package main

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/cli"
	"github.com/tailrace/tailrace/internal/config"
	sinkkafka "github.com/tailrace/tailrace/sinks/kafka"
	"github.com/tailrace/tailrace/sinks/postgres"
)

var legalTopic = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// Validate holds the rules that are about more than one key, or about more than
// a key's type.
func (s *settings) Validate(report config.Report) {
	if !legalTopic.MatchString(s.Name) || s.Name == "." || s.Name == ".." || len(s.Name) > 120 {
		report("name", "want at most 120 letters, digits, dots, dashes and underscores: it names topics")
	}
	if t := s.Errors.DeadLetter.Topic; !legalTopic.MatchString(t) || len(t) > 249 {
		report("errors.dead_letter.topic", "want at most 249 letters, digits, dots, dashes and underscores")
	}
	for i, t := range s.Source.Topics {
		if t == s.Errors.DeadLetter.Topic {
			report("source.topics["+strconv.Itoa(i)+"]", "is the pipeline's own dead-letter topic")
		}
	}
	for i, step := range s.Steps {
		if r := step.Route; r != nil && r.Topic != "" && s.Sink.Postgres != nil && !strings.Contains(s.Sink.Postgres.Table, "{topic}") {
			report("steps["+strconv.Itoa(i)+"].route.topic", "has no effect: the sink has no topics, and sink.postgres.table does not use {topic}")
		}
	}
	for i, step := range s.Steps {
		if l := step.Latest; l != nil && (l.Key != "" || len(l.Keys) > 0) {
			path := "steps[" + strconv.Itoa(i) + "].latest.key"
			if l.Key == "" {
				path += "s"
			}
			if s.Sink.Kafka == nil {
				report(path, "needs sink.kafka: rows are handed to the owner of their key through a topic, in the same transaction; a second pipeline takes the documents from there into sink.%s", s.Sink.kind())
			}
			if s.Source.TopicsPattern != "" {
				report(path, "needs source.topics: a pattern does not mean the pipeline's internal topic")
			}
		}
	}
	if s.Errors.Retry.Initial > s.Errors.Retry.Max {
		report("errors.retry.initial", "want at most errors.retry.max, which is %s", s.Errors.Retry.Max)
	}
}

// Validate checks that there is something to read, and from where.
func (s *sourceSettings) Validate(report config.Report) {
	switch {
	case len(s.Topics) > 0 && s.TopicsPattern != "":
		report("topics_pattern", "want topics or topics_pattern, found both")
	case len(s.Topics) == 0 && s.TopicsPattern == "":
		report("topics", "want a list of topics, or topics_pattern")
	}
	for i, t := range s.Topics {
		if !legalTopic.MatchString(t) || len(t) > 249 {
			report("topics["+strconv.Itoa(i)+"]", "want at most 249 letters, digits, dots, dashes and underscores; a regular expression goes into topics_pattern")
		}
	}
	if _, err := regexp.Compile(s.TopicsPattern); err != nil {
		report("topics_pattern", "want a regular expression: %s", err)
	}
	if _, _, err := parseStart(s.Start); err != nil {
		report("start", "want earliest, latest, an LSN as in 16/B374D848, or a time as in 2026-11-21T15:04:05Z")
	}
}

// parseStart reads source.start: a time, an LSN, or neither.
func parseStart(s string) (at time.Time, lsn cdc.LSN, err error) {
	switch {
	case s == "earliest", s == "latest":
	case strings.Contains(s, "/"):
		if lsn, err = cdc.ParseLSN(s); err == nil && lsn == 0 {
			err = errors.New("0/0 is no LSN")
		}
	default:
		at, err = time.Parse(time.RFC3339, s)
	}
	return at, lsn, err
}

// Validate checks addresses, and that what belongs together is there.
func (k *kafkaSettings) Validate(report config.Report) {
	k.shared().Validate(report)
}

// Validate checks what the sink itself would refuse.
func (p *postgresSink) Validate(report config.Report) {
	c := postgres.DefaultConfig()
	c.Pipeline, c.URL = "pipeline", p.URL
	if err := c.Validate(); err != nil {
		report("url", "want a libpq URL or keywords, as in postgres://loader@127.0.0.1:5432/warehouse: %s", config.Redact(err.Error()))
	}
	c.URL, c.Table = "postgres://127.0.0.1/", p.Table
	if err := c.Validate(); err != nil {
		report("table", "%s", err)
	}
	if p.StateSchema == "" || len(p.StateSchema) > 63 {
		report("state_schema", "want 1 to 63 characters")
	}
}

// Validate checks the template of topics.
func (k *kafkaSink) Validate(report config.Report) {
	if _, err := sinkkafka.New(sinkkafka.Config{Pipeline: "pipeline", Topic: k.Topic}, nil, nil); err != nil {
		report("topic", "%s", err)
	}
}

// Validate checks the address.
func (o *opsSettings) Validate(report config.Report) {
	cli.ValidateListen(report, o.Listen, "127.0.0.1:9465")
}
