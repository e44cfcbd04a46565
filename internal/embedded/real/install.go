// Package real runs Apache Kafka and a Confluent-compatible schema registry
// (Apicurio) as child processes, for `make test-real`: fetched once by Maven into
// a cache folder, started on free ports of 127.0.0.1, and gone with the process
// that started them. They need Java; nothing else of the project does.
package real

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The versions that tests run against.
const (
	KafkaVersion    = "4.3.1"
	RegistryVersion = "3.3.3"
)

// The oldest Java that each runs on.
const (
	kafkaJava    = 17
	registryJava = 21
)

// Parts is what is installed. It is a value; several processes may use one.
type Parts struct {
	dir          string
	kafkaJava    string // the java program
	registryJava string
}

// The project files by which Maven learns what to fetch.
const (
	kafkaPOM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tailrace</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + KafkaVersion + `</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version></dependency>
  </dependencies>
</project>
`
	registryPOM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tailrace</groupId><artifactId>registry</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>io.apicurio</groupId><artifactId>apicurio-registry-app</artifactId><version>` + RegistryVersion + `</version>
      <type>tar.gz</type><classifier>all</classifier>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>
  </dependencies>
</project>
`
)

// Install fetches what is not in the folder dir yet. A part appears under its
// final name only when it is complete; two processes that fetch at the same time
// both succeed.
func Install(ctx context.Context, dir string, logf func(string, ...any)) (Parts, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Parts{}, err
	}
	p, err := Installed(dir)
	if err == nil {
		return p, nil
	}
	if p.kafkaJava == "" { // Installed says what is missing of Java first
		return Parts{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Parts{}, fmt.Errorf("make the cache folder: %w", err)
	}
	for _, part := range []struct{ folder, pom, goal string }{
		{p.kafka(), kafkaPOM, "dependency:copy-dependencies"},
		{p.registry(), registryPOM, "dependency:unpack-dependencies"},
	} {
		if exists(part.folder) {
			continue
		}
		logf("fetching %s by Maven (once)", filepath.Base(part.folder))
		if err := fetch(ctx, part.folder, part.pom, part.goal); err != nil {
			return Parts{}, err
		}
	}
	return p, nil
}

// Installed is what Install put into dir, and an error when something is missing.
func Installed(dir string) (Parts, error) {
	k, err := findJava(kafkaJava, "Apache Kafka")
	r, err2 := findJava(registryJava, "the schema registry")
	if err := errors.Join(err, err2); err != nil {
		return Parts{}, err
	}
	p := Parts{dir: dir, kafkaJava: k, registryJava: r}
	for _, folder := range []string{p.kafka(), p.registry()} {
		if !exists(folder) {
			return p, fmt.Errorf("%s is not installed; make test-real does", folder)
		}
	}
	return p, nil
}

func (p Parts) kafka() string    { return filepath.Join(p.dir, "kafka-"+KafkaVersion) }
func (p Parts) registry() string { return filepath.Join(p.dir, "registry-"+RegistryVersion) }

// fetch has Maven put what pom names into folder.
func fetch(ctx context.Context, folder, pom, goal string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("mvn is missing: Apache Maven fetches Kafka and the registry (Debian: apt-get install maven)")
	}
	tmp, err := os.MkdirTemp(filepath.Dir(folder), "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, "pom.xml")
	if err := os.WriteFile(file, []byte(pom), 0o644); err != nil {
		return err
	}
	out := filepath.Join(tmp, "out")
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", file, goal, "-DoutputDirectory="+out)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch %s: %w: %s", filepath.Base(folder), err, end(string(text)))
	}
	if err := os.Rename(out, folder); err != nil && !exists(folder) {
		return err
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// end is the last part of a long text.
func end(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 2000 {
		s = "… " + s[len(s)-2000:]
	}
	return s
}
