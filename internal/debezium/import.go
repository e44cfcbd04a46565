package debezium

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Result is what a connector's configuration became.
type Result struct {
	YAML    []byte    // relay.yaml; notes and what is missing stand in it as comments
	Notes   []Note    // options that mean something else here
	Missing []Missing // options that would change records or delivery and have no counterpart
}

// Note says what an option means here.
type Note struct {
	Option, Text string
}

// Missing is an option without a counterpart. A relay that runs without it writes
// other records than the connector did.
type Missing struct {
	Option string
	Value  string // hidden where it may be a secret
	Reason string // and what to do instead
}

// Import turns a connector's configuration, as Parse gives it, into relay.yaml.
// An error is a configuration that no relay.yaml can be made of: of another
// connector, or without what every connector needs.
func Import(config map[string]string) (Result, error) {
	d := newDraft(config)
	if err := d.required(); err != nil {
		return Result{}, err
	}
	table := options()
	for _, name := range slices.Sorted(maps.Keys(config)) {
		d.take(setting{name: name, value: config[name]}, table)
	}
	d.finishConnection()
	d.finishTables()
	d.finishMasks()
	d.finishKafka()
	d.finishSnapshot()
	d.finishFormat()
	d.finishCase()
	return d.result(), nil
}

// required tells what is missing that every connector has.
func (d *draft) required() error {
	if class := d.config["connector.class"]; class != "" && !strings.HasPrefix(class, "io.debezium.connector.postgresql.") && class != "PostgresConnector" && class != "Postgres" {
		return fmt.Errorf("connector.class is %s; want the configuration of a io.debezium.connector.postgresql.PostgresConnector", class)
	}
	for name := range d.config {
		if strings.HasPrefix(name, "debezium.source.") {
			return fmt.Errorf("%s: this is a configuration of Debezium Server; want a connector's: the options that begin with debezium.source., without that prefix", name)
		}
	}
	var missing []string
	for _, name := range []string{"topic.prefix", "database.hostname", "database.dbname", "database.user"} {
		if strings.TrimSpace(d.config[name]) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: missing, and Debezium has no default; is this the configuration of a PostgreSQL connector?", strings.Join(missing, ", "))
	}
	return nil
}

// take finds the option in the table and does what stands there.
func (d *draft) take(s setting, table []option) {
	o, parts := find(table, s.name)
	if o == nil {
		d.missing(s, "Debezium 3.7's PostgreSQL connector has no option of this name, so it is not known what it does; take it out if it does nothing")
		return
	}
	s.parts = parts
	if o.fate != unneeded && !o.open && refers(s.value) {
		d.missing(s, "the worker looks its value up, and it is needed now; put the value into the file and import again")
		return
	}
	if slices.Contains(o.fine, s.lower()) || s.value == "" && o.read == nil {
		return
	}
	if o.read != nil {
		o.read(d, s)
	}
	switch {
	case o.fate == differs && o.text != "" && !o.says:
		d.note(s.name, o.key, o.text)
	case o.fate == absent && o.read == nil:
		d.missing(s, o.text)
	}
}
