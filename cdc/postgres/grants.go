package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Grants is the SQL that gives a role what the relay needs and no more, for the
// tables that match now: what it has already is left out, so that the SQL can be
// asked for and run again when tables have come. Whoever owns the tables makes the
// publication, so that the relay needs no ownership, and with it no right to write.
//
// Beside that the relay needs what everybody has: to read the catalog, to end a
// session of its own role, and to write logical messages unless that was revoked.
func Grants(ctx context.Context, c Config, role string, heartbeat bool) (string, error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return "", fmt.Errorf("%w; postgres.url must name a user who is there already, such as the owner of the tables", err)
	}
	defer closeConn(conn.PgConn())
	catalog := NewCatalog(conn)
	p, err := lookAt(ctx, conn, c.Publication)
	if err != nil {
		return "", err
	}
	catalog.Publication, catalog.Roots = c.Publication, p.viaRoot || !p.exists && c.PublishViaRoot
	tables, err := catalog.Match(ctx, c.Include, c.Exclude)
	if err != nil {
		return "", err
	}
	g := &grants{conn: conn, config: &c, role: role, name: quoteIdent(role)}
	for _, part := range []func(context.Context, []Published) error{g.login, g.read} {
		if err := part(ctx, tables); err != nil {
			return "", err
		}
	}
	if heartbeat {
		if err := g.messages(ctx); err != nil {
			return "", err
		}
	}
	missing, err := catalog.additions(ctx, &c, catalog.Roots)
	if err != nil {
		return "", err
	}
	g.publication(p, missing)
	head := "-- run by a superuser, or by the tables' owner with CREATEROLE; again when tables have come\n"
	if g.text.Len() == 0 {
		return head + "-- " + role + " has everything\n", nil
	}
	return head + g.text.String(), nil
}

// grants collects statements.
type grants struct {
	conn   *pgx.Conn
	config *Config
	role   string
	name   string // quoted
	exists bool
	text   strings.Builder
}

func (g *grants) add(format string, args ...any) { fmt.Fprintf(&g.text, format+"\n", args...) }

// may asks a question about the role; what a role that is not there may, is nothing.
func (g *grants) may(ctx context.Context, question string, args ...any) (yes bool, err error) {
	if !g.exists {
		return false, nil
	}
	if err = g.conn.QueryRow(ctx, "SELECT "+question, append([]any{g.role}, args...)...).Scan(&yes); err != nil {
		return false, fmt.Errorf("read the privileges of %s: %w", g.name, err)
	}
	return yes, nil
}

func (g *grants) login(ctx context.Context, tables []Published) error {
	var login, replication, bypass bool
	err := g.conn.QueryRow(ctx, `SELECT count(*) > 0, coalesce(bool_or(rolcanlogin), false), coalesce(bool_or(rolreplication OR rolsuper OR `+managedReplication+`), false),
		coalesce(bool_or(rolbypassrls OR rolsuper), false) FROM pg_roles r WHERE rolname = $1`, g.role).Scan(&g.exists, &login, &replication, &bypass)
	if err != nil {
		return fmt.Errorf("look for role %s: %w", g.name, err)
	}
	switch {
	case !g.exists:
		g.add("CREATE ROLE %s LOGIN REPLICATION;  -- and a password: \\password %s; on RDS: LOGIN, and GRANT rds_replication TO %s", g.name, g.name, g.name)
	case !login || !replication:
		g.add("ALTER ROLE %s LOGIN REPLICATION;", g.name)
	}
	hidden, err := g.secured(ctx, tables)
	if err != nil {
		return err
	}
	if hidden != "" && !bypass {
		g.add("ALTER ROLE %s BYPASSRLS;  -- row security would hide rows from the snapshot: %s", g.name, hidden)
	}
	return nil
}

// secured lists the tables whose rows row security hides from others than their
// owner.
func (g *grants) secured(ctx context.Context, tables []Published) (string, error) {
	rows, _ := g.conn.Query(ctx, "SELECT oid FROM pg_class WHERE oid = ANY ($1) AND relrowsecurity", oids(tables))
	hidden, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return "", fmt.Errorf("read which tables have row security: %w", err)
	}
	return tableList(slices.DeleteFunc(slices.Clone(tables), func(t Published) bool { return !slices.Contains(hidden, t.OID) })), nil
}

func (g *grants) read(ctx context.Context, tables []Published) error {
	database := g.conn.Config().Database
	if yes, err := g.may(ctx, "has_database_privilege($1, $2, 'CONNECT')", database); err != nil {
		return err
	} else if !yes {
		g.add("GRANT CONNECT ON DATABASE %s TO %s;", quoteIdent(database), g.name)
	}
	if len(tables) == 0 {
		g.add("-- no table matches tables.include yet; run this again when there are some")
		return nil
	}
	var schemas, unreadable []string
	for _, t := range tables {
		if s := quoteIdent(t.Schema); !slices.Contains(schemas, s) {
			yes, err := g.may(ctx, "has_schema_privilege($1, $2, 'USAGE')", t.Schema)
			if err != nil {
				return err
			}
			if !yes {
				schemas = append(schemas, s)
			}
		}
		yes, err := g.may(ctx, "has_table_privilege($1, $2::oid, 'SELECT')", t.OID)
		if err != nil {
			return err
		}
		if !yes {
			unreadable = append(unreadable, quoteIdent(t.Schema)+"."+quoteIdent(t.Name))
		}
	}
	if len(schemas) > 0 {
		g.add("GRANT USAGE ON SCHEMA %s TO %s;", strings.Join(schemas, ", "), g.name)
	}
	if len(unreadable) > 0 {
		g.add("GRANT SELECT ON %s TO %s;  -- for the snapshot only", strings.Join(unreadable, ", "), g.name)
	}
	return nil
}

// messages are executable by everybody unless that was revoked.
func (g *grants) messages(ctx context.Context) error {
	major, err := NewCatalog(g.conn).major()
	if err != nil {
		return err
	}
	function := messageFunction(major)
	var public bool
	err = g.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
		WHERE p.oid = $1::regprocedure AND a.grantee = 0 AND a.privilege_type = 'EXECUTE')`, "pg_catalog."+function).Scan(&public)
	if err != nil {
		return fmt.Errorf("read who may write heartbeats: %w", err)
	}
	if public {
		return nil
	}
	yes, err := g.may(ctx, "has_function_privilege($1, $2, 'EXECUTE')", "pg_catalog."+function)
	if err == nil && !yes {
		g.add("GRANT EXECUTE ON FUNCTION %s TO %s;  -- for heartbeats", function, g.name)
	}
	return err
}

func (g *grants) publication(p publication, missing []Published) {
	name := quoteIdent(g.config.Publication)
	switch {
	case p.exists && (p.all || len(missing) == 0):
	case p.exists:
		g.add("ALTER PUBLICATION %s ADD TABLE %s;", name, g.config.list(missing))
	default:
		list, via := "", ""
		if len(missing) > 0 {
			list = " FOR TABLE " + g.config.list(missing)
		}
		if g.config.PublishViaRoot {
			via = " WITH (publish_via_partition_root = true)"
		}
		g.add("CREATE PUBLICATION %s%s%s;", name, list, via)
	}
}
