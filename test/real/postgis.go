package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tailrace/tailrace/internal/embedded/postgres"
)

// Debian's PostgreSQL and PostGIS, with which the golden records were made.
const (
	debianPostgres = "/usr/lib/postgresql/15/bin"
	debianPostGIS  = "/usr/share/postgresql/15/extension/postgis.control"
	debianPackage  = "postgresql-15-postgis-3"
)

// postgis runs the golden records of PostGIS on a server that has it: the embedded
// PostgreSQL has not. Debian 12 has no package of pgvector, and the golden records
// have no case of it.
func (r *runner) postgis() {
	const name = "postgis"
	if !r.wanted(name) || !r.hasPostGIS(name) {
		return
	}
	// The variable is for this one server: the steps keep their own PostgreSQL.
	if err := os.Setenv(postgres.EnvBin, debianPostgres); err != nil {
		r.fail(name, err)
		return
	}
	server, err := postgres.Start(r.ctx, postgres.Config{Logf: r.services.logf})
	if err := os.Unsetenv(postgres.EnvBin); err != nil {
		r.fail(name, err)
	}
	if err != nil {
		r.fail(name, err)
		return
	}
	r.bare(name, []string{"TAILRACE_TEST_POSTGIS=" + server.URL("postgres")},
		[]string{"go", "test", "./test/golden", "-count=1", "-timeout=10m", "-v", "-run", "^TestGolden$/^postgis$"})
	if err := server.Stop(); err != nil {
		r.fail(name, err)
	}
}

// hasPostGIS skips a step, with the reason, where PostGIS cannot be installed.
func (r *runner) hasPostGIS(name string) bool {
	err := r.installPostGIS()
	if err != nil {
		r.done++
		fmt.Fprintf(r.out, "=== %s: skipped: %v\n", name, err)
	}
	return err == nil
}

// installPostGIS has the system's package manager fetch it, unless it is there.
func (r *runner) installPostGIS() error {
	if _, err := os.Stat(debianPostGIS); err == nil {
		return nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("%s is not there, and there is no apt-get to install %s", filepath.Base(debianPostGIS), debianPackage)
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-qq", "-y", "--no-install-recommends", debianPackage}} {
		cmd := exec.CommandContext(r.ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s %v: %w: %.500s", apt, args, err, out)
		}
	}
	_, err = os.Stat(debianPostGIS)
	return err
}
