// Package graphtest holds what package graph is tested against, and what tests of other packages may use too: a
// naive Model of the graph, made of plain maps with a full copy for every moment, a Generator of random batches, and
// a Driver that applies the same batches to both and compares everything that can be asked: the live graph, past
// moments, intervals, indexes, adjacency, and what a subscriber replays.
//
// A Model and a Driver belong to one goroutine; the readers that Driver.Readers starts are joined by its stop
// function. Nothing here is fast.
package graphtest
