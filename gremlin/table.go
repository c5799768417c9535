package gremlin

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-net/weft/graph"
)

// stepSpec describes a step of the language: what it stands on, its arguments, and how a plan step is made of it.
type stepSpec struct {
	name     string
	alias    string // another name for the same step
	bare     bool   // written without parentheses
	min, max int    // arguments; max -1 = any number
	takes    string // what they are, for errors
	on       []rule
	build    func(s *planStep) error
}

// rule is one kind that a step works on, and what comes out of it there.
type rule struct{ in, out kind }

// accepts tells what comes out of a step that stands on a kind.
func (s *stepSpec) accepts(in kind) (out kind, ok bool) {
	for _, r := range s.on {
		if r.in == in {
			return r.out, true
		}
	}
	return 0, false
}

// same lists kinds that a step leaves as they are.
func same(kinds ...kind) []rule {
	rules := make([]rule, len(kinds))
	for i, k := range kinds {
		rules[i] = rule{k, k}
	}
	return rules
}

// to lists kinds that a step turns into one.
func to(out kind, in ...kind) []rule {
	rules := make([]rule, len(in))
	for i, k := range in {
		rules[i] = rule{k, out}
	}
	return rules
}

const (
	anyPairs  = "keys and values in turn, or one key"
	noneTaken = "none"
)

// stepTable holds every step; it is never changed.
var stepTable = makeStepTable()

// stepIndex finds a step by its name in capitals; it is never changed.
var stepIndex = indexSteps(stepTable)

func indexSteps(table []stepSpec) map[string]*stepSpec {
	index := make(map[string]*stepSpec, 2*len(table))
	for i := range table {
		index[strings.ToUpper(table[i].name)] = &table[i]
		if table[i].alias != "" {
			index[strings.ToUpper(table[i].alias)] = &table[i]
		}
	}
	return index
}

func stepByName(name string) *stepSpec { return stepIndex[strings.ToUpper(name)] }

// StepNames lists the steps, for completion.
func StepNames() []string {
	var names []string
	for _, s := range stepTable {
		names = append(names, s.name)
		if s.alias != "" {
			names = append(names, s.alias)
		}
	}
	return names
}

func makeStepTable() []stepSpec {
	filterable := same(kindNodes, kindEdges, kindFlows, kindSockets, kindValues)
	return []stepSpec{
		// Where rows come from.
		{name: "G", bare: true, on: to(kindGraph, kindGraph, kindNodes, kindEdges), build: plain(runG)},
		{name: "V", max: -1, takes: "nothing, or the id of a node", on: to(kindNodes, kindGraph), build: buildSource(runV)},
		{name: "E", max: -1, takes: "nothing, or the id of an edge", on: to(kindEdges, kindGraph), build: buildSource(runE)},
		{name: "At", alias: "Context", min: 1, max: 2, takes: "a time and perhaps a duration", on: same(kindGraph), build: buildAt},

		// What passes.
		{name: "Has", min: 1, max: -1, takes: anyPairs, on: filterable, build: buildHas("Has", false)},
		{name: "HasEither", min: 1, max: -1, takes: anyPairs, on: filterable, build: buildHas("HasEither", true)},
		{name: "HasKey", min: 1, max: 1, takes: "one key", on: filterable, build: buildHasKey(true)},
		{name: "HasNot", min: 1, max: 1, takes: "one key", on: filterable, build: buildHasKey(false)},
		{name: "Dedup", max: -1, takes: "keys", on: append(same(kindNodes, kindEdges, kindFlows, kindValues), rule{kindPaths, kindNodes}), build: buildDedup},
		{name: "Limit", min: 1, max: 1, takes: "one number", on: same(kindNodes, kindEdges, kindFlows, kindValues, kindPaths), build: buildRange},
		{name: "Range", min: 2, max: 2, takes: "two numbers", on: same(kindNodes, kindEdges, kindFlows, kindValues, kindPaths), build: buildRange},
		{name: "Sort", max: 2, takes: "at most ASC or DESC, and a key", on: same(kindNodes, kindEdges, kindFlows, kindValues), build: buildSort},

		// Along the edges.
		{name: "Out", max: -1, takes: anyPairs, on: to(kindNodes, kindNodes, kindFlows), build: buildMove(runOut, runFlowNodes)},
		{name: "In", max: -1, takes: anyPairs, on: to(kindNodes, kindNodes, kindFlows), build: buildMove(runIn, runFlowNodes)},
		{name: "Both", max: -1, takes: anyPairs, on: to(kindNodes, kindNodes, kindFlows), build: buildMove(runBoth, runFlowNodes)},
		{name: "OutE", max: -1, takes: anyPairs, on: to(kindEdges, kindNodes), build: buildMove(runOutE, nil)},
		{name: "InE", max: -1, takes: anyPairs, on: to(kindEdges, kindNodes), build: buildMove(runInE, nil)},
		{name: "BothE", max: -1, takes: anyPairs, on: to(kindEdges, kindNodes), build: buildMove(runBothE, nil)},
		{name: "InV", max: -1, takes: anyPairs, on: to(kindNodes, kindEdges), build: buildMove(runInV, nil)},
		{name: "OutV", max: -1, takes: anyPairs, on: to(kindNodes, kindEdges), build: buildMove(runOutV, nil)},
		{name: "BothV", max: -1, takes: anyPairs, on: to(kindNodes, kindEdges), build: buildMove(runBothV, nil)},
		{name: "Descendants", max: -1, takes: "keys and values of edges, and a depth", on: same(kindNodes), build: buildReach(runDescendants)},
		{name: "Ascendants", max: -1, takes: "keys and values of edges, and a depth", on: same(kindNodes), build: buildReach(runAscendants)},
		{name: "Neighbors", max: -1, takes: "keys and values of edges, and a depth", on: same(kindNodes), build: buildReach(runNeighbors)},
		{name: "ShortestPathTo", min: 1, max: 2, takes: "Metadata(…) of the target and perhaps Metadata(…) of the edges", on: to(kindPaths, kindNodes), build: buildPath},
		{name: "SubGraph", max: -1, takes: "keys and values of edges", on: to(kindGraph, kindNodes, kindEdges, kindPaths), build: buildMove(runSubGraph, nil)},

		// What is kept for later.
		{name: "As", min: 1, max: 1, takes: "one name", on: same(kindNodes), build: buildNames(runAs)},
		{name: "Select", min: 1, max: -1, takes: "names given by As", on: same(kindNodes), build: buildNames(runSelect)},

		// What is read.
		{name: "Values", min: 1, max: 1, takes: "one key", on: to(kindValues, kindNodes, kindEdges, kindFlows, kindSockets), build: buildKeys(runValues)},
		{name: "ValueMap", max: -1, takes: "keys", on: to(kindValues, kindNodes, kindEdges), build: buildKeys(runValueMap)},
		{name: "Keys", takes: noneTaken, on: to(kindValues, kindNodes, kindEdges, kindFlows, kindMetrics), build: plain(runKeys)},
		{name: "Count", takes: noneTaken, on: to(kindScalar, kindNodes, kindEdges, kindValues, kindPaths, kindFlows, kindMetrics, kindSockets, kindHops, kindPackets, kindGroups), build: buildCount},
		{name: "Sum", max: 1, takes: "one key", on: to(kindScalar, kindNodes, kindEdges, kindValues, kindFlows, kindMetrics), build: buildSum},

		// What is known of nodes beside metadata.
		{name: "Metrics", max: 1, takes: "at most one of 'LastUpdateMetric', 'SFlow' and 'Ovs'", on: to(kindMetrics, kindNodes, kindFlows), build: buildMetrics},
		{name: "Aggregates", max: 1, takes: "at most one number of seconds", on: same(kindMetrics), build: buildAggregates},
		{name: "NextHop", min: 1, max: 1, takes: "one IP address", on: to(kindHops, kindNodes), build: buildNextHop},
		{name: "Sockets", takes: noneTaken, on: to(kindSockets, kindNodes, kindFlows), build: plain(runSockets)},

		// Flows.
		{name: "Flows", max: -1, takes: "keys and values in turn", on: to(kindFlows, kindGraph, kindNodes, kindPaths), build: buildFlows},
		{name: "Hops", max: -1, takes: anyPairs, on: to(kindNodes, kindFlows), build: buildMove(nil, runFlowNodes)},
		{name: "CaptureNode", alias: "Node", max: -1, takes: anyPairs, on: to(kindNodes, kindFlows), build: buildMove(nil, runFlowNodes)},
		{name: "Nodes", max: -1, takes: anyPairs, on: to(kindNodes, kindFlows), build: buildMove(nil, runFlowNodes)},
		{name: "RawPackets", takes: noneTaken, on: to(kindPackets, kindFlows), build: plain(runRawPackets)},
		{name: "BPF", min: 1, max: 1, takes: "one filter expression", on: same(kindPackets), build: buildText(runBPF)},
		{name: "Group", max: -1, takes: "keys", on: to(kindGroups, kindFlows), build: buildKeys(runGroup)},
		{name: "MoreThan", max: 1, takes: "at most one number", on: same(kindGroups), build: buildMoreThan},

		{name: "Workflow", min: 1, max: -1, takes: "the id or name of a workflow and its arguments", on: same(kindGraph), build: buildWorkflow},
	}
}

type runFunc = func(x *exec, i int, s *planStep, in stream) stream

// plain is for steps without arguments.
func plain(run runFunc) func(*planStep) error {
	return func(s *planStep) error {
		s.run = run
		return nil
	}
}

func buildSource(run runFunc) func(*planStep) error {
	return func(s *planStep) (err error) {
		s.run, s.role = run, roleSource
		if len(s.call.args) == 1 {
			s.id, err = stringArg(s.call, 0, "an id as a string")
			s.hasID = true
			return err
		}
		s.cond, err = pairs(s.call.spec.name, s.call.args, false)
		return err
	}
}

func buildHas(name string, either bool) func(*planStep) error {
	return func(s *planStep) (err error) {
		s.run, s.role = runFilter, roleFilter
		s.cond, err = pairs(name, s.call.args, either)
		if s.in == kindFlows {
			s.cond = s.cond.forFlows()
		}
		return err
	}
}

func buildHasKey(exists bool) func(*planStep) error {
	return func(s *planStep) error {
		s.run, s.role = runFilter, roleFilter
		key, err := keyArg(s.call.spec.name, s.call.args[0])
		s.cond = &condition{key: key, pred: keyPredicate(exists)}
		return err
	}
}

// buildMove is for steps whose arguments filter what is reached; one implementation for nodes and edges, one for flows.
func buildMove(run, onFlows runFunc) func(*planStep) error {
	return func(s *planStep) (err error) {
		s.run = run
		if s.in == kindFlows {
			s.run = onFlows
		}
		s.cond, err = pairs(s.call.spec.name, s.call.args, false)
		return err
	}
}

func buildNames(run runFunc) func(*planStep) error { return buildKeys(run) }

// buildKeys is for steps whose arguments are keys or names.
func buildKeys(run runFunc) func(*planStep) error {
	return func(s *planStep) error {
		s.run = run
		return readKeys(s)
	}
}

func readKeys(s *planStep) error {
	for _, a := range s.call.args {
		key, err := keyArg(s.call.spec.name, a)
		if err != nil {
			return err
		}
		s.keys = append(s.keys, key)
	}
	return nil
}

func buildDedup(s *planStep) error {
	s.run = runDedup
	if len(s.call.args) == 0 && s.in != kindPaths {
		s.role = roleDedup
	}
	return readKeys(s)
}

func buildRange(s *planStep) error {
	s.run, s.role = runRange, roleRange
	for i := range s.call.args {
		n, err := intArg(s.call, i, "a whole number of rows, not negative")
		if err != nil {
			return err
		}
		s.from, s.to = s.to, n
	}
	return nil
}

func buildSort(s *planStep) error {
	s.run, s.role, s.top = runSort, roleSort, -1
	key := ""
	for i, a := range s.call.args {
		switch {
		case i == 0 && a.kind == argKeyword && (a.name == "ASC" || a.name == "DESC"):
			s.desc = a.name == "DESC"
		case i == 1 && s.call.args[0].kind != argKeyword:
			return argumentError(s.call.args[0], "ASC or DESC before the key of Sort")
		default:
			var err error
			if key, err = keyArg("Sort", a); err != nil {
				return err
			}
		}
	}
	if key == "" {
		key = "@CreatedAt"
		if s.in == kindFlows {
			key = "Last"
		}
	}
	s.keys = []string{key}
	return nil
}

func buildCount(s *planStep) error {
	s.run, s.role = runCount, roleCount
	return nil
}

func buildSum(s *planStep) error {
	s.run = runSum
	if err := readKeys(s); err != nil {
		return err
	}
	switch {
	case s.in == kindMetrics || s.in == kindValues:
	case len(s.keys) != 1:
		return countError(s.call.pos, "Sum", 0, "one key")
	case s.in == kindFlows && !strings.HasPrefix(s.keys[0], "Metric.") && !strings.HasPrefix(s.keys[0], "LastUpdateMetric."):
		return argumentError(s.call.args[0], "a field of Metric or LastUpdateMetric, such as 'Metric.ABBytes'")
	}
	return nil
}

func buildReach(run runFunc) func(*planStep) error {
	return func(s *planStep) (err error) {
		s.run, s.depth = run, 1
		args := s.call.args
		if len(args)%2 == 1 {
			if s.depth, err = intArg(s.call, len(args)-1, "the depth as a whole number, not negative"); err != nil {
				return err
			}
			args = args[:len(args)-1]
		}
		if len(args) == 0 {
			s.cond = &condition{key: "RelationType", pred: literalPredicate(graph.String("ownership"))}
			return nil
		}
		s.cond, err = pairs(s.call.spec.name, args, true)
		return err
	}
}

func buildPath(s *planStep) error {
	s.run = runShortestPath
	for i, a := range s.call.args {
		if a.kind != argMetadata || len(a.args) == 0 {
			return argumentError(a, "Metadata(key, value, …)")
		}
		cond, err := pairs("Metadata", a.args, false)
		if err != nil {
			return err
		}
		if i == 0 {
			s.cond = cond
		} else {
			s.also = cond
		}
	}
	return nil
}

func buildMetrics(s *planStep) (err error) {
	s.run = runMetrics
	if s.in == kindFlows {
		s.run = runFlowMetrics
	}
	err = readKeys(s)
	if err == nil && len(s.keys) == 1 && !strings.HasSuffix(s.keys[0], "Metric") {
		s.keys[0] += ".LastUpdateMetric"
	}
	return err
}

func buildAggregates(s *planStep) (err error) {
	s.run, s.seconds = runAggregates, 30
	if len(s.call.args) == 1 {
		s.seconds, err = intArg(s.call, 0, "a positive number of seconds")
		if err == nil && (s.seconds == 0 || s.seconds > int64(100*365*24*time.Hour/time.Second)) {
			err = argumentError(s.call.args[0], "a positive number of seconds")
		}
	}
	return err
}

func buildNextHop(s *planStep) (err error) {
	s.run = runNextHop
	if s.text, err = stringArg(s.call, 0, "an IP address as a string"); err != nil {
		return err
	}
	if _, bad := netip.ParseAddr(s.text); bad != nil {
		return argumentError(s.call.args[0], "an IP address such as '10.0.0.1'")
	}
	return nil
}

func buildFlows(s *planStep) (err error) {
	s.run = runFlows
	s.cond, err = pairs("Flows", s.call.args, false)
	s.cond = s.cond.forFlows()
	return err
}

func buildText(run runFunc) func(*planStep) error {
	return func(s *planStep) (err error) {
		s.run = run
		s.text, err = stringArg(s.call, 0, "a string")
		return err
	}
}

func buildMoreThan(s *planStep) (err error) {
	s.run, s.number = runMoreThan, 1
	if len(s.call.args) == 1 {
		if a := s.call.args[0]; a.kind == argValue && a.value.Kind() == graph.KindString { // Skydive's form
			if n, bad := strconv.ParseInt(a.value.Str(), 10, 64); bad == nil && n >= 0 {
				s.number = n
				return nil
			}
		}
		s.number, err = intArg(s.call, 0, "a whole number of flows, not negative")
	}
	return err
}

func buildWorkflow(s *planStep) (err error) {
	s.run = runWorkflow
	if s.text, err = stringArg(s.call, 0, "the id or name of a workflow as a string"); err != nil {
		return err
	}
	for _, a := range s.call.args[1:] {
		if a.kind != argValue {
			return argumentError(a, "a string, a number, true or false")
		}
	}
	s.args = s.call.args[1:]
	return nil
}

// checkSelect makes sure that the names of a Select were given by an As before it.
func checkSelect(s *planStep, known []string) error {
	for i, name := range s.keys {
		if slices.Contains(known, name) {
			continue
		}
		err := argumentError(s.call.args[i], "a name that an As before it gave")
		if len(known) > 0 {
			err.Expected += " (" + strings.Join(known, ", ") + ")"
		}
		err.Nearest = nearest(name, known)
		return err
	}
	return nil
}

// stringArg reads argument i.
func stringArg(c call, i int, want string) (string, error) {
	if a := c.args[i]; a.kind != argValue || a.value.Kind() != graph.KindString || a.value.Str() == "" {
		return "", argumentError(a, want)
	}
	return c.args[i].value.Str(), nil
}

// intArg reads argument i, a whole number that is not negative.
func intArg(c call, i int, want string) (int64, error) {
	if a := c.args[i]; a.kind != argValue || a.value.Kind() != graph.KindInt || a.value.Int() < 0 {
		return 0, argumentError(a, want)
	}
	return c.args[i].value.Int(), nil
}
