// Package real runs Apache Kafka, Kafka Connect with Debezium's connectors, and a
// Confluent-compatible schema registry (Apicurio) as child processes, for `make
// test-real`: fetched once by Maven into a cache folder, started on free ports of
// 127.0.0.1, and gone with the process that started them. They need Java; nothing
// else of the project does.
package real

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// Install fetches Kafka and the registry, unless the folder dir has them. A part
// appears under its final name only when it is complete; two processes that fetch
// at the same time both succeed.
func Install(ctx context.Context, dir string, logf func(string, ...any)) (Parts, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Parts{}, err
	}
	p, err := Installed(dir)
	if err == nil || p.kafkaJava == "" { // Installed says what is missing of Java first
		return p, err
	}
	return p, p.install(ctx, logf, kafkaPart, registryPart)
}

// InstallConnect fetches Kafka Connect, Debezium's PostgreSQL connector and the
// Avro converter.
func (p Parts) InstallConnect(ctx context.Context, logf func(string, ...any)) error {
	return p.install(ctx, logf, connectPart, debeziumPart, converterPart)
}

// InstallJDBC fetches Debezium's JDBC sink, for a Connect that InstallConnect
// fetched.
func (p Parts) InstallJDBC(ctx context.Context, logf func(string, ...any)) error {
	return p.install(ctx, logf, jdbcPart)
}

// InstallReader fetches the Java classes that read Avro records with a registry's
// help, and returns their folder.
func (p Parts) InstallReader(ctx context.Context, logf func(string, ...any)) (string, error) {
	return p.folder(readerPart), p.install(ctx, logf, readerPart)
}

// Installed is what Install put into dir, and an error when something is missing.
func Installed(dir string) (Parts, error) {
	k, err := findJava(kafkaJava, "Apache Kafka")
	r, err2 := findJava(registryJava, "the schema registry")
	if err := errors.Join(err, err2); err != nil {
		return Parts{}, err
	}
	p := Parts{dir: dir, kafkaJava: k, registryJava: r}
	return p, p.want(kafkaPart, registryPart)
}

// Java is a program of Java 17 or later.
func (p Parts) Java() string { return p.kafkaJava }

func (p Parts) folder(part part) string { return filepath.Join(p.dir, part.name) }

// want says which of these parts is not there.
func (p Parts) want(parts ...part) error {
	for _, part := range parts {
		if folder := p.folder(part); !exists(folder) {
			return fmt.Errorf("%s is not installed; make test-real does", folder)
		}
	}
	return nil
}

func (p Parts) install(ctx context.Context, logf func(string, ...any), parts ...part) error {
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return fmt.Errorf("make the cache folder: %w", err)
	}
	for _, part := range parts {
		if exists(p.folder(part)) {
			continue
		}
		logf("fetching %s by Maven (once)", part.name)
		if err := fetch(ctx, p.folder(part), part); err != nil {
			return err
		}
	}
	return nil
}

// fetch has Maven put what a part names into folder.
func fetch(ctx context.Context, folder string, part part) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("mvn is missing: Apache Maven fetches the parts in Java (Debian: apt-get install maven)")
	}
	tmp, err := os.MkdirTemp(filepath.Dir(folder), "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, "pom.xml")
	if err := os.WriteFile(file, []byte(part.pom()), 0o644); err != nil {
		return err
	}
	out := filepath.Join(tmp, "out")
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", file, part.goal(), "-DincludeScope=runtime",
		"-DoutputDirectory="+filepath.Join(out, part.sub))
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch %s: %w: %s", part.name, err, end(string(text)))
	}
	if part.services[0] != "" {
		if err := writeService(filepath.Join(out, part.sub, "services.jar"), part.services[0], part.services[1]); err != nil {
			return err
		}
	}
	if err := os.Rename(out, folder); err != nil && !exists(folder) {
		return err
	}
	return nil
}

// writeService writes an archive that says which class serves an interface, so
// that Connect need not look into all classes to find it.
func writeService(file, service, class string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	z := zip.NewWriter(f)
	w, err := z.Create("META-INF/services/" + service)
	if err == nil {
		_, err = w.Write([]byte(class + "\n"))
	}
	return errors.Join(err, z.Close(), f.Close())
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
