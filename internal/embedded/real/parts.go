package real

import (
	"fmt"
	"strings"
)

// The versions that tests run against.
const (
	KafkaVersion     = "4.3.1"
	RegistryVersion  = "3.3.3"
	DebeziumVersion  = "3.7.0.Final"
	ConverterVersion = "2.6.13.Final"
	JDBCSinkVersion  = "3.5.0.Final"
)

// part is what Maven fetches into one folder.
type part struct {
	name      string     // of the folder, with the version
	sub       string     // folder inside it: a plugin of Connect is a folder of its own in a folder of plugins
	unpack    bool       // archives that are unpacked, instead of classes that are copied
	artifacts []artifact // with what they depend on, but archives
	without   []string   // group:artifact of dependencies that somebody else brings
	services  [2]string  // a Java interface and the class that serves it, when the artifact does not say so itself
}

// artifact is group:artifact:version[:type:classifier].
type artifact string

// brought are classes that Kafka Connect gives to its plugins; a second copy of
// them in a plugin would be of other types.
var brought = []string{
	"org.apache.kafka:*", "org.slf4j:*", "org.lz4:*", "at.yawk.lz4:*", "org.xerial.snappy:*", "com.github.luben:*",
}

// avroConverter is the class that writes and reads Avro in Kafka Connect.
const avroConverter = "io.apicurio.registry.utils.converter.AvroConverter"

// logging writes the log of Kafka and Connect, which bring none themselves.
const logging artifact = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"

var (
	kafkaPart = part{
		name:      "kafka-" + KafkaVersion,
		artifacts: []artifact{"org.apache.kafka:kafka_2.13:" + KafkaVersion, logging},
	}
	registryPart = part{
		name: "registry-" + RegistryVersion, unpack: true,
		artifacts: []artifact{"io.apicurio:apicurio-registry-app:" + RegistryVersion + ":tar.gz:all"},
		without:   []string{"*:*"},
	}
	connectPart = part{
		name: "connect-" + KafkaVersion,
		artifacts: []artifact{
			"org.apache.kafka:connect-runtime:" + KafkaVersion, "org.apache.kafka:connect-json:" + KafkaVersion, logging,
		},
	}
	debeziumPart = part{
		name: "debezium-" + DebeziumVersion, unpack: true,
		artifacts: []artifact{"io.debezium:debezium-connector-postgres:" + DebeziumVersion + ":tar.gz:plugin"},
		without:   []string{"*:*"},
	}
	converterPart = part{
		name: "converter-" + ConverterVersion, sub: "avro",
		artifacts: []artifact{"io.apicurio:apicurio-registry-utils-converter:" + ConverterVersion},
		without:   brought,
		services:  [2]string{"org.apache.kafka.connect.storage.Converter", avroConverter},
	}
	jdbcPart = part{
		name: "jdbc-sink-" + JDBCSinkVersion, sub: "jdbc",
		artifacts: []artifact{"io.debezium:debezium-connector-jdbc:" + JDBCSinkVersion, "org.postgresql:postgresql:42.7.7"},
		without: append([]string{
			"com.fasterxml.jackson.core:jackson-core", "com.fasterxml.jackson.core:jackson-databind", "com.fasterxml.jackson.core:jackson-annotations",
		}, brought...),
	}
	readerPart = part{
		name: "reader-" + ConverterVersion,
		artifacts: []artifact{
			"io.apicurio:apicurio-registry-serdes-avro-serde:" + ConverterVersion, "org.apache.kafka:kafka-clients:" + KafkaVersion, logging,
		},
	}
)

// goal is Maven's word for what to do.
func (p part) goal() string {
	if p.unpack {
		return "dependency:unpack-dependencies"
	}
	return "dependency:copy-dependencies"
}

// pom is the project file by which Maven learns what to fetch.
func (p part) pom() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tailrace</groupId><artifactId>%s</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
`, strings.ToLower(p.name))
	for _, a := range p.artifacts {
		f := strings.Split(string(a), ":")
		fmt.Fprintf(&b, "    <dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version>", f[0], f[1], f[2])
		if len(f) == 5 {
			fmt.Fprintf(&b, "<type>%s</type><classifier>%s</classifier>", f[3], f[4])
		}
		b.WriteString("\n      <exclusions>")
		for _, w := range p.without {
			group, name, _ := strings.Cut(w, ":")
			fmt.Fprintf(&b, "<exclusion><groupId>%s</groupId><artifactId>%s</artifactId></exclusion>", group, name)
		}
		b.WriteString("</exclusions></dependency>\n")
	}
	b.WriteString("  </dependencies>\n</project>\n")
	return b.String()
}
