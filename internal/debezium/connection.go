package debezium

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

func connectionOptions() []option {
	const url = "postgres.url"
	return []option{
		{name: "topic.prefix", fate: mapped, key: "name", text: "The same topics and record names.", open: true, read: func(d *draft, s setting) {
			d.key("name").value = scalar(d.handed(s, nil))
		}},
		{name: "database.hostname", fate: mapped, key: url, open: true, text: "Part of the URL.", read: handledLater},
		{name: "database.port", fate: mapped, key: url, open: true, text: "Part of the URL; 5432 if not set.", read: handledLater},
		{name: "database.dbname", fate: mapped, key: url, open: true, text: "Part of the URL.", read: handledLater},
		{name: "database.user", fate: mapped, key: url, open: true, text: "Part of the URL.", read: handledLater},
		{name: "database.password", fate: differs, key: url, open: true, says: true,
			text: "Never written into the file: the URL has ${DATABASE_PASSWORD}, or the variable that the connector read.", read: handledLater},
		{name: "database.sslmode", fate: mapped, key: url, open: true, text: "Parameter sslmode of the URL; the names are the same.", read: handledLater},
		{name: "database.sslcert", fate: mapped, key: url, open: true, text: "Parameter sslcert.", read: handledLater},
		{name: "database.sslkey", fate: differs, key: url, open: true, text: "Parameter sslkey. The JDBC driver takes PKCS-8 in DER form or PKCS-12, and the relay PEM, as libpq does: openssl pkcs8 -inform DER -in client.pk8 -out client.pem converts.", read: handledLater},
		{name: "database.sslpassword", fate: differs, key: url, open: true, says: true, text: "Never written into the file: parameter sslpassword is ${DATABASE_SSLPASSWORD}.", read: handledLater},
		{name: "database.sslrootcert", fate: mapped, key: url, open: true, text: "Parameter sslrootcert.", read: handledLater},
		{name: "database.sslfactory", fate: differs, key: url, text: "Java's. TLS is as sslmode in the URL says; require does not look at the server's certificate."},
		{name: "database.tcpKeepAlive", fate: unneeded, text: "TCP keep-alive is on."},
		{name: "database.initial.statements", fate: absent, text: "The relay runs no statements of yours at a connect. Write settings into postgres.url, as in ?options=-c%20search_path%3Dpublic, or give them to the role by ALTER ROLE … SET."},
		{name: "database.connection.factory.class", fate: differs, key: url, text: "Java's. For IAM tokens name the program that prints one in postgres.password_command."},
		{name: "database.query.timeout.ms", fate: unneeded, text: "The relay's own statements have bounds of their own."},
		{name: "connection.validation.timeout.ms", fate: unneeded, text: "Only for the check of the connector's configuration."},
		{name: "database.server.name", fate: differs, key: "name", text: "The name that topic.prefix had before Debezium 2.0. Debezium 3.7 does not read it."},
		{name: "database.include.list", fate: absent, text: "A relay reads the one database of postgres.url."},
		{name: "database.exclude.list", fate: absent, text: "A relay reads the one database of postgres.url."},
		{name: "database.*", fate: differs, key: url, text: "A setting of the JDBC driver, without effect on records."},
		{name: "driver.*", fate: differs, key: url, text: "A setting of the JDBC driver, without effect on records."},
		{name: "plugin.name", fate: absent, key: "postgres.slot", fine: []string{"pgoutput"},
			text: "The relay reads pgoutput, and a slot keeps its plugin, so this one cannot be taken over. Let the connector stand on a slot of pgoutput first; or name a new slot, set adopt to false and begin with a snapshot."},
		{name: "slot.name", fate: mapped, key: "postgres.slot.name", text: "The slot is taken over; debezium if not set.", read: func(d *draft, s setting) {
			d.set("postgres.slot.name", strings.TrimSpace(s.value))
		}},
		{name: "slot.drop.on.stop", fate: absent, key: "postgres.slot", fine: []string{"false"},
			text: "The connector drops the slot when it stops, so that nothing is left to take over. Set it to false in the connector, wait until it runs again, then import again. The relay never drops its slot."},
		{name: "slot.failover", fate: mapped, key: "postgres.slot.failover", fine: []string{"false"}, text: "Only for a slot that the relay creates; an adopted one stays as it is. Its default makes one where the server can.", read: toggle("postgres.slot.failover")},
		{name: "slot.max.retries", fate: unneeded, text: "The relay waits for its slot for ever."},
		{name: "slot.retry.delay.ms", fate: unneeded, text: "A slot in use is asked for every 500 ms."},
		{name: "slot.stream.params", fate: absent, key: "postgres.slot", fine: []string{"origin=any"},
			text: "The relay chooses the parameters of pgoutput itself, with changes of every origin; the header tailrace.origin names it, so that a consumer can leave them out."},
		{name: "publication.name", fate: mapped, key: "postgres.publication.name", text: "dbz_publication if not set.", read: func(d *draft, s setting) {
			d.set("postgres.publication.name", strings.TrimSpace(s.value))
		}},
		{name: "publication.autocreate.mode", fate: differs, says: true, key: "postgres.publication.create",
			text: "all_tables and filtered: create is true. An existing publication is used; the relay adds matching tables to a list, and never takes one out. disabled and no_tables: create is false.", read: readAutocreate},
		{name: "publish.via.partition.root", fate: mapped, key: "postgres.publication.via_root", text: "Of a publication that the relay creates. One that exists says it itself.", read: toggle("postgres.publication.via_root")},
		{name: "replica.identity.autoset.values", fate: differs, key: "tables",
			text: "The relay alters no table. Those that the connector has altered keep their REPLICA IDENTITY; for new ones run ALTER TABLE … REPLICA IDENTITY FULL yourself. relay check warns where a key needs it."},
		{name: "read.only", fate: unneeded, text: "The relay never writes into tables."},
	}
}

// handledLater marks an option that finishConnection reads with others.
func handledLater(*draft, setting) {}

func readAutocreate(d *draft, s setting) {
	switch s.lower() {
	case "all_tables":
		d.plain("postgres.publication.create", "true")
	case "filtered":
		d.plain("postgres.publication.create", "true")
		d.note(s.name, "postgres.publication.create", "the relay adds tables that match to the publication, and never takes one out of it")
	case "disabled":
		d.plain("postgres.publication.create", "false")
	case "no_tables":
		d.plain("postgres.publication.create", "false")
		d.note(s.name, "postgres.publication.create", "the publication stays as it is; the relay adds no table to it")
	default:
		d.unreadable(s, "all_tables, disabled, filtered or no_tables")
	}
}

// handed is a value for relay.yaml, with ${VARIABLES} where the worker looked
// something up; escape may be nil.
func (d *draft) handed(s setting, escape func(string) string) string {
	if escape == nil {
		escape = strings.TrimSpace
	}
	for _, l := range lookups(s.value) {
		switch {
		case l.variable == "":
			d.missing(s, l.source+" names no value")
		case isEnvironment(l.provider) && l.path == "":
		default:
			d.note(s.name, "", "the worker read "+l.source+"; set "+l.variable+" in the relay's environment to what it gives")
		}
	}
	return substitute(s.value, escape)
}

var port = regexp.MustCompile(`^[0-9]{1,5}$`)

// finishConnection writes the URL, the slot and the publication.
func (d *draft) finishConnection() {
	given := func(name string, escape func(string) string) string {
		return d.handed(setting{name: name, value: d.config[name]}, escape)
	}
	user := given("database.user", func(s string) string { return url.User(strings.TrimSpace(s)).String() })
	node := d.key("postgres.url")
	if password := d.config["database.password"]; password != "" {
		variable := d.secret("database.password", "DATABASE_PASSWORD")
		user += ":${" + variable + "}"
		node.say("database.password: is not written here; set " + variable + " in the relay's environment, with %XX for what a URL cannot hold (/ ? # % and space)." +
			" Or take it out of the URL and name postgres.password_file, or set PGPASSWORD.")
	}
	address := given("database.hostname", nil)
	if ip := net.ParseIP(address); ip != nil && strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	if p := given("database.port", nil); p != "" {
		if !refers(d.config["database.port"]) && !port.MatchString(p) {
			d.unreadable(setting{name: "database.port", value: p}, "a port's number")
		} else {
			address += ":" + p
		}
	}
	text := "postgres://" + user + "@" + address + "/" + given("database.dbname", func(s string) string { return url.PathEscape(strings.TrimSpace(s)) })
	separator := "?"
	for _, parameter := range []string{"sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert"} {
		name := "database." + parameter
		if strings.TrimSpace(d.config[name]) == "" {
			continue
		}
		value := given(name, func(s string) string { return strings.ReplaceAll(url.QueryEscape(strings.TrimSpace(s)), "%2F", "/") })
		if parameter == "sslpassword" {
			variable := d.secret(name, "DATABASE_SSLPASSWORD")
			value = "${" + variable + "}"
			node.say(name + ": is not written here; set " + variable + " in the relay's environment.")
		}
		if parameter == "sslmode" {
			value = strings.ToLower(value)
		}
		text += separator + parameter + "=" + value
		separator = "&"
	}
	node.value = scalar(text)

	slot := d.key("postgres.slot.name")
	if slot.value == "" {
		slot.value = "debezium"
	}
	adopt := d.key("postgres.slot.adopt")
	adopt.value = "true"
	adopt.say("The relay takes over the slot and goes on after the last record that the connector wrote. Stop the connector first, and wait until the slot is" +
		" inactive; the connector must not start again on this slot while the relay owns it.")
	if d.config["plugin.name"] == "" {
		adopt.say("plugin.name: is not set, and decoderbufs is Debezium's default. Only a slot of pgoutput can be taken over: SELECT plugin FROM pg_replication_slots" +
			" tells. relay run stops and says so if it is another.")
		d.notes = append(d.notes, placed{Note: Note{"plugin.name", "is not set, and decoderbufs is Debezium's default; only a slot of pgoutput can be taken over"}, said: true})
	}
	if publication := d.key("postgres.publication.name"); publication.value == "" {
		publication.value = "dbz_publication"
	}
	if create := d.key("postgres.publication.create"); create.value == "" {
		create.value = strconv.FormatBool(true)
	}
}

// secret is the variable that holds a secret of the connector's: the one that it
// read itself, or ours.
func (d *draft) secret(name, ours string) string {
	value := strings.TrimSpace(d.config[name])
	if found := lookups(value); len(found) == 1 && found[0].source == value && found[0].variable != "" {
		if !isEnvironment(found[0].provider) {
			d.note(name, "postgres.url", "the worker read "+found[0].source+"; set "+found[0].variable+" in the relay's environment to what it gives")
		}
		return found[0].variable
	}
	if bare := reference.FindString(value); bare != "" && bare == value {
		return bare[2 : len(bare)-1]
	}
	return ours
}
