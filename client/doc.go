// Package client is a client of Skydive's REST and WebSocket API, as weft and Skydive serve it.
//
//	c, err := client.New(client.Config{Address: "127.0.0.1:8082"})
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	nodes, err := c.QueryNodes(ctx, "G.V().Has('Type', 'bridge')")
//
// A Client holds settings, a token and idle connections; New talks to nobody. All its methods may be called from any
// goroutine. It logs in by itself when it has a user name, and again when the server forgets the token.
//
// A Subscription reads the graph and its changes, reconnects by itself and repairs what it missed by asking for the
// whole graph. A Publisher writes the graph, many messages to a system call, and waits for the server's word in Flush.
// Both live until Close or the end of the context that they were made with, and each runs a few goroutines until
// then. A Publisher may be used from any goroutine; the events of a Subscription belong to one at a time.
//
// What a server answers with an error status is an *Error; errors.Is tells its kind: ErrNotFound, ErrConflict,
// ErrUnauthorized, ErrForbidden, ErrNotModified, ErrBadRequest.
package client
