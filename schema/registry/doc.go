// Package registry is the client of a Confluent-compatible schema registry.
//
// It wraps srclient, which knows neither contexts nor retries, and adds: a
// deadline for every request, bounded retries with fail-over among several
// URLs, errors that say whether another try can help, and a bounded cache of
// schemas by id that asks once however many want the same id.
//
// What is registered is the caller's own text. The registry's normalisation is
// used to find an equal schema that another writer registered in another order
// of properties, never to change a text: a schema found so is taken only if it
// is equal to the caller's, field order included.
package registry
