// Package testenv gives tests real surroundings: network namespaces with links in them,
// and real servers from Debian that are unpacked beside the tree and never installed or
// started as a service.
//
// Everything is named after the process that made it and is deleted when the test ends;
// what a killed run left behind is swept by the next one. The functions may be called
// from any goroutine of a test. They end the test when they fail, so that a test reads as
// what it tests.
//
// What is missing on a laptop skips a test, and fails it where the variable CI is set:
// see [Missing]. No other package decides that.
package testenv
