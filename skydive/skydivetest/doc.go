// Package skydivetest behaves on the wire as Skydive's Python client and its tool skydive-ws-client do, so that a
// server can be tested against what people already run: the same headers and bodies, the same demands on the answers,
// the same habits.
//
// What matters to a server: REST bodies are Python's JSON (spaces after separators, ASCII only) with Content-Type
// application/json; an answer is parsed only when it is application/json; every status outside 2xx, 304 too, is an
// error; a missing member is a KeyError. WebSocket messages are text frames with a UUID of 32 hex digits and no
// dashes; pings are answered only while the client reads; the tool's add, update and delete close the socket without
// a word as soon as everything is written.
//
// A REST or WSClient belongs to one goroutine. REST holds idle connections of its HTTP client and nothing else; a
// WSClient lives until Stop or the end of the context of a call that it fails in.
package skydivetest
