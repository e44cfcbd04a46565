package main

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/embedded/postgres"
	"github.com/tailrace/tailrace/internal/embedded/real"
)

// about is the machine, and what was measured on it: the first line of the raw
// numbers.
type about struct {
	At       time.Time `json:"at"`
	CPU      string    `json:"cpu"`
	Cores    int       `json:"cores"`
	Memory   int64     `json:"memory_bytes"`
	Kernel   string    `json:"kernel"`
	Go       string    `json:"go"`
	Commit   string    `json:"commit"`
	Postgres string    `json:"postgres"`
	Kafka    string    `json:"kafka"`
	Debezium string    `json:"debezium"`
	JDBC     string    `json:"jdbc_sink"`
}

func machine() about {
	m := about{At: time.Now().UTC(), Cores: runtime.NumCPU(), Go: runtime.Version(), Commit: "unknown", Postgres: postgres.DefaultVersion,
		Kafka: real.KafkaVersion, Debezium: real.DebeziumVersion, JDBC: real.JDBCSinkVersion}
	m.Kernel, m.Memory = system()
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, model, _ := strings.Cut(string(b), "model name")
		model, _, _ = strings.Cut(model, "\n")
		m.CPU = strings.TrimLeft(model, "\t: ")
	}
	if out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	return m
}
