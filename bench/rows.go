package main

// rows is the table, in the order in which it is printed.
func rows() []row {
	return append(graphRows(), flowRows()...)
}

func graphRows() []row {
	return []row{
		{
			name: "graph-load", what: "1,000,000 nodes + 1,000,000 edges, 10 keys each, into graph",
			target: "< 10 s, RSS < 1.5 GB", skydive: "–", run: graphLoad,
		},
		{
			name: "graph-read", what: "indexed Has in process / edge traversals on one core",
			target: "< 5 µs / > 5 M/s", skydive: "–", run: graphRead,
		},
		{
			name: "publish-burst", what: "one /ws/publisher client, 10,000 nodes + 10,000 edges, until all visible",
			target: "< 1 s, none lost", skydive: "9 s, loses 13–45 % of the edges with some clients", run: publishBurst,
		},
		{
			name: "publish-plain", what: "the same, a client that writes one frame an element, as Python's does",
			target: "< 1 s, none lost", skydive: "8.4 s throttled; loses data unthrottled", run: publishPlain,
		},
		{
			name: "publish-sustained", what: "sustained publishing, JSON, one client",
			target: "> 100,000 elements/s", skydive: "about 2,500/s", run: publishSustained,
		},
		{
			name: "query-has", what: "POST /api/topology G.V().Has('Name','x') at 10,000 + 10,000, median",
			target: "< 0.5 ms", skydive: "4.7–11.9 ms", run: queryHas,
		},
		{
			name: "query-graph", what: "G, the whole graph, about 5.7 MB",
			target: "< 40 ms", skydive: "303–550 ms", run: queryGraph,
		},
		{
			name: "subscribers", what: "100 subscribers with 100 filters, 1,000 changes/s: CPU of the server",
			target: "< 30 % of a core", skydive: "–", run: subscribers,
		},
		{
			name: "allinone", what: "allinone: ready / RSS when idle",
			target: "< 0.3 s / < 80 MB", skydive: "0.4–1.3 s / 457 MB in three processes", run: allinone,
		},
	}
}
