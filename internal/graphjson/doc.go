// Package graphjson turns Skydive's JSON into graph events and metadata: the hot path
// of publishers, and what REST bodies go through.
//
// It is strict. Text that is not JSON (RFC 8259) or not UTF-8, keys that come twice,
// values of the wrong type and nesting beyond a bound are errors that say where and
// what to do; nothing is guessed. Fields that an element does not have are ignored, as
// Skydive's clients send some. Numbers that equal an integer become integers.
//
// A Decoder keeps scratch space and is for one goroutine at a time; what it returns
// belongs to the caller and shares nothing with the input.
package graphjson
