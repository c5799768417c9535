// Package graph is a property graph that remembers: nodes and edges with typed metadata, and every moment of them
// within a window.
package graph
