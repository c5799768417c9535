// Package flowtest makes packets for tests and measurements of flows. [Packet] builds one frame from its layers, with
// lengths and checksums that are right unless a test asks for wrong ones. [Traffic] streams millions of packets of many
// interleaved flows, the same ones for the same seed, fast enough to feed a benchmark.
//
// It knows nothing of package flow, so that the tests inside that package can use it. Everything here is a value or
// a pure function of its arguments and may be used from any goroutine; a Traffic streams on the goroutine that calls it.
package flowtest
