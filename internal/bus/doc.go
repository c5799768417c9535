// Package bus carries everything that the processes of weft say to each other over NATS:
// graph batches, heartbeats, requests to a host, and what must survive a restart.
//
// The NATS server is embedded ([StartServer]) and has no port unless agents of other hosts
// are to connect, or it is an existing one by URL; nothing here asks for more than NATS 2.9.
//
//	weft.graph.<token>        batches of the member, in frames (see frame.go)
//	weft.flow.<token>         flow batches of the member (see flowframe.go)
//	weft.heartbeat.<token>    every second: what the member last said (see beat.go)
//	weft.agent.<token>.<verb> requests to the member, such as resync; answers in parts (see ask.go)
//
// A member is a process on the bus: an agent goes by its host's name, an analyzer by
// "analyzer:" and its host's name ([AnalyzerMember]). [Token] makes any name one safe token.
// Origins are named NAME@MEMBER, so that a receiver can tell that a batch came in on the
// subject of its own member, which is all that the credentials of that member allow.
//
// The stream. A JetStream stream captures weft.graph.*, with caps by bytes and age. A [Feed]
// delivers its messages in its order with its timestamps, so that all analyzers agree on
// the moment of each batch. The same messages also reach the feed directly, and are held
// until the stream brings them: when it does not in time (the disk is full, and NATS has
// given up storing) the feed applies what it held, goes on with direct messages and the local
// clock, and says that persistence is off; it returns when the stream delivers again.
// Frames are numbered by their sender, which makes the switch exact in both directions, and
// what is lost all the same is noticed by the graph's own numbering of batches.
//
// Flow batches go a simpler way ([FlowSender], [FlowFeed]): they carry numbers by which each is taken once, whichever
// way and however often it comes, need no order, and stay with the agent until they are acknowledged.
//
// Conn, Publisher, Feed, FlowSender, FlowFeed and Store may be used from any goroutine. The handler of a Feed is
// called by one goroutine at a time and must not call back into the Feed. Each has a Close
// that returns when its goroutines are gone; Server outlives the Conns to it.
package bus
