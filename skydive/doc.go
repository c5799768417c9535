// Package skydive is the wire contract of Skydive's REST and WebSocket API: the names of endpoints, headers,
// message types and metadata keys, the JSON shapes of elements, resources and status, and the codecs of the
// message envelope (JSON text frames and protobuf binary frames).
//
// It is a leaf: it talks to nobody, starts nothing and keeps no state, so everything in it may be used from any
// goroutine; a value is owned by whoever made it. The server of weft and its client share it, and so can any
// program that reads or writes what Skydive does.
//
// The format is that of Skydive's master branch (0.28 and later). Times are milliseconds since the epoch, in UTC,
// wherever a comment does not say otherwise. Where weft adds to Skydive the comment says "weft".
package skydive
