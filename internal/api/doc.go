// Package api serves Skydive's REST and WebSocket interface over one graph.
//
// It is the outer face of an analyzer (and of an all-in-one process): requests
// become Gremlin queries, resources of the store, batches of graph events, and
// subscriptions. Handlers are thin; one table of routes (see routes.go) feeds the
// router, the access rules, the OpenAPI description and the metrics.
//
// What the package needs of the rest of the program comes in Deps. The two larger
// needs are interfaces that the caller implements: Committer takes what publishers
// and REST clients say of the graph, and Store keeps the resources they created.
//
// New starts the goroutines that feed the subscribers; Server.Close ends them and
// every WebSocket connection. Server.Handler may be called from any goroutine.
package api
