// Package apitest starts a complete API server in process, over a graph in memory, for
// the tests and benchmarks of whatever talks to it.
//
// Committer and Store stand in for the analyzer and its key-value bucket. Both may be
// used from any goroutine. A Server started with Start ends with its test.
package apitest
