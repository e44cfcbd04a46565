package postgres

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// account is the user that initdb and postgres run as.
type account struct {
	name     string
	uid, gid uint32
	other    bool // not the user that we run as
}

// String is the name, for messages.
func (a account) String() string { return a.name }

// serverAccount is ourselves, or for root the first unprivileged account that the
// machine knows: initdb looks its user up by id, so the id alone would not do.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{name: "uid " + strconv.Itoa(os.Getuid())}, nil
	}
	for _, name := range []string{"nobody", "daemon", "postgres"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return account{name: name, uid: uint32(uid), gid: uint32(gid), other: true}, nil
		}
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and this machine has no user nobody, daemon or postgres: add one of them, or run this as another user")
}

// reachable tells whether every user may pass through dir and its parents.
func reachable(dir string) bool {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}
