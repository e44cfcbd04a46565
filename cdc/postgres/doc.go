// Package postgres is the source: a logical replication slot of a PostgreSQL
// server, its publication, its catalog and its snapshot.
package postgres
