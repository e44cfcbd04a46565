// Package golden runs the golden corpus, records that a real Debezium
// 3.7.0.Final wrote, through the relay as users run it, under
// format.compat: debezium, and holds the relay to them byte for byte.
//
// testdata has one file for each case; testdata/README.md describes them. What
// may differ is in two places: the volatile fields in mask_test.go, and single
// exceptions, each with its letter and reason, in exceptions_test.go.
//
//	go test ./test/golden -run 'TestGolden/^key_change$'
package golden
