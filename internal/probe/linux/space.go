package linux

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
)

// A space is one network namespace. All spaces and links belong to the goroutine of Run.
type space struct {
	inode, device uint64
	nsid          int // what the kernel calls it in the probe's own namespace; -1 none
	own           bool
	id, tid       string

	named map[string]struct{} // paths
	pid   int                 // a process in it, 0 none known
	comm  string

	links map[int]*link
	ids   map[int]int // what it calls others, as ids in the own namespace
	asked bool        // ids are being asked for, or are as good as they get

	ready     bool // was read once
	counted   bool // the first Replace does not wait for it, or not any more
	measuring bool
	suspect   bool // the last measurement did not find the links that are shown
	whole     bool // was entered at the last reading
	gone      bool
	reading   bool // a reading is under way: what comes meanwhile waits
	again     bool // and another one must follow
	waiting   []message

	routesDue   bool // a reading of the routes is planned or under way
	routesAgain bool
	routesRest  time.Time // not before then

	wanted map[int]string // links whose drivers are to be asked
	asking bool           // they are being asked
	askAt  time.Time      // they will be, then

	shown bool
	said  graph.Metadata
}

// maxWaiting bounds the events that wait for a reading; more than that, and the space is
// read again instead.
const maxWaiting = 1 << 15

func (l *loop) newSpace(inode, device uint64, nsid int) *space {
	return &space{
		inode: inode, device: device, nsid: nsid,
		id:     probe.GenID(l.env.Host, "netns", strconv.FormatUint(inode, 10)),
		named:  make(map[string]struct{}),
		links:  make(map[int]*link),
		wanted: make(map[int]string),
	}
}

// path is how the space can be entered, "" for the probe's own, and whether it can.
func (s *space) path() (string, bool) {
	switch {
	case s.own:
		return "", true
	case len(s.named) > 0:
		return slices.Min(slices.Collect(maps.Keys(s.named))), true
	case s.pid != 0:
		return processPath(s.pid), true
	}
	return "", false
}

func processPath(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/ns/net" }

// describe returns the metadata of the namespace's node. A name given by somebody wins over
// the process's; of a namespace that nothing leads to any more, what was said last stays.
func (s *space) describe(hostTID string) graph.Metadata {
	path, ok := s.path()
	if !ok {
		return s.said
	}
	s.tid = probe.TID(hostTID, path, "netns")
	fields := make([]graph.Field, 0, 8)
	name := filepath.Base(path)
	if len(s.named) == 0 {
		name = s.comm + "-" + strconv.Itoa(s.pid)
		fields = append(fields, graph.F("Pid", graph.Int(int64(s.pid))))
	}
	return graph.NewMetadata(append(fields,
		graph.F("Name", graph.String(name)),
		graph.F("Type", graph.String("netns")),
		graph.F("Path", graph.String(path)),
		graph.F("Inode", graph.Int(int64(s.inode))),
		graph.F("Device", graph.Int(int64(s.device))),
		graph.F("TID", graph.String(s.tid)),
	)...)
}

// name is what the node is called, "" before it is shown and for the probe's own.
func (s *space) name() string {
	v, _ := s.said.Get("Name")
	return v.Str()
}

// A link is one link of a space.
type link struct {
	space *space
	id    string
	linkState

	measured uint64   // hash of the last measurement
	first    counters // as the link was first heard of
	seen     int64    // serial of the last event
	checked  int64    // serial at the last question to the kernel about its peer
	device   device
	asked    bool // device is known; before, the link is not shown

	addresses  []address // sorted
	neighbours map[neighbourKey]neighbour
	fdb        map[neighbourKey]neighbour
	routes     graph.Value

	// What is shown of the three lists above, and since when that may be old.
	lists     []graph.Field
	listsOld  bool // a change waits
	stateOld  bool // states changed within their class
	listsRest time.Time

	gone      bool
	shown     bool
	said      graph.Metadata
	sampled   counters
	sampledAt int64
	edges     map[string]edge // declared by this link and said
	refs      []ref           // that its edges and names depend on
}

// A ref is a place where a link may be: the index 0 stands for the namespace itself.
type ref struct {
	space *space
	index int
}

func (l *loop) newLink(s *space, state linkState) *link {
	where := strconv.FormatUint(s.inode, 10)
	if s.own {
		where = "own" // the own namespace has another inode after a reboot
	}
	return &link{
		space: s, linkState: state, first: state.counters,
		id: probe.GenID(l.env.Host, "link", where, strconv.Itoa(state.index)),
	}
}

func (k *link) ref() ref { return ref{k.space, k.index} }
