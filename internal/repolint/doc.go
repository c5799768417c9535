// Package repolint holds this repository to its own rules: which way imports point, which dependency lives
// where, that packages are documented, that files stay readable, that nothing is kept in package-level
// variables, that tests neither sleep nor skip, and that what the documentation names exists.
//
// The rules are the table in rules.go; each gives its reason, because the reason is what a reader needs when it
// fires. [Load] reads a source tree without compiling it, [Check] applies every rule, and the tests of this
// package run it on the repository itself, on small trees in testdata that break each rule once, and on a module
// outside the tree that imports each public package as a stranger would.
//
// Nothing here runs in the program: only tests import this package. Its functions keep no state and may be called
// from any goroutine.
package repolint

//go:generate go run ./settings ../../docs/settings.md
