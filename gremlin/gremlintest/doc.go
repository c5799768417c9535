// Package gremlintest tests the query language with scripts: a text file loads a graph, changes it as time passes,
// asks queries and says what the answers are. Every script is run twice in one: once as it goes, and then against the
// past. The moment after each question is recorded; when the script is over, everything is deleted; and each question
// is asked again of the graph as it was at its moment, where it must have the same answer.
//
// # The language
//
// A line that is not indented is a command, the indented lines below it belong to it, "#" at the start of a line is a
// comment.
//
//	load                                            the first elements, at the start of the script's clock
//	  node h1 Type=host Name=h1 @Host=h1
//	  node n1 Type=netns Name="blue net" IPV4=["10.0.0.1/24"] @CreatedAt=1000
//	  edge e1 h1 -> n1 RelationType=ownership
//	  flow f1 NodeTID=tid1 Network={"A":"10.0.0.1"}  flows make the script run with a source of flows
//
//	at 10s                                          moves the clock: a time since its start
//	  set n1 MTU=1400                               changes keys, by dotted path
//	  unset n1 MTU
//	  sample n1 Metric RxBytes=100 Start=0s Last=10s  counters; the times are those of the clock
//	  delete e1
//
//	options MaxResults=3 Deadline=1s                for the questions that follow
//
//	eval G.V().Has('Type', 'netns')                 a question and its answer, one of:
//	  nodes n1                                      nodes by id, in any order; "ordered nodes" in this one
//	  edges e1                                      edges likewise
//	  graph h1 n1 / e1                              a graph: nodes / edges
//	  values 1 "b"                                  values as JSON, in any order; "ordered values" in this one
//	  path h1 n1                                    one line for each path
//	  rows 2                                        the number of rows, when which they are is open
//	  json [{"n1":{"IP":"10.0.0.2"}}]               the whole answer, whatever the order of keys
//	  error line 1, column 3: found …               the whole text of the error; "error ~ …" a part of it
//	  plan index Name                               how the first step found its rows; beside another answer
//
// A value of a key is JSON when it reads as JSON, else the text itself. The clock starts at [Start].
package gremlintest
