package api

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/pcapfile"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/skydive"
)

// Bounds of capture files that clients send.
const (
	importsAtOnce = 2
	importFlows   = 200_000  // live in the table of one import; others are reported early
	importBatch   = 1000     // flows handed to the hub at once
	importLinks   = 8        // unknown link types that are named
	importHead    = 64 << 10 // bytes of a file that have to be there before it gets its turn
)

// importPcap answers POST /api/pcap: the flows of a capture file go where those of the
// agents go. The file is read as it comes, and may be larger than memory.
func (s *Server) importPcap(w http.ResponseWriter, r *http.Request) error {
	if s.deps.Flows == nil {
		return failf(http.StatusNotFound, "%s is not served here: this process keeps no flows, send the file to an analyzer", skydive.PathPcap)
	}
	where, err := importedFrom(r)
	if err != nil {
		return err
	}
	body := bufio.NewReaderSize(r.Body, importHead)
	if _, err := body.Peek(importHead); err != nil && !errors.Is(err, io.EOF) { // who sends nothing keeps nobody from a turn
		return importError(err, 0)
	}
	leave, err := s.imports.enter(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	taken, err := readPackets(r.Context(), body, s.deps.Flows, where)
	for _, warning := range taken.warnings() {
		w.Header().Add(skydive.HeaderWarning, warning)
	}
	if err != nil {
		return importError(err, taken.Received)
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// importedFrom reads what the flows of a file are to say of where they were captured. Skydive's say nothing, and without
// a word of the client's neither do these; with one they are found by it, and lead to the node.
func importedFrom(r *http.Request) (where flow.Options, err error) {
	query := r.URL.Query()
	for name, value := range map[string]*string{"CaptureID": &where.CaptureID, "NodeTID": &where.NodeTID} {
		*value = query.Get(name)
		if err := checkName(*value); err != nil {
			return where, failf(http.StatusBadRequest, "%s: %w", name, err)
		}
	}
	return where, nil
}

// importError says how much of a file was taken before the error.
func importError(err error, packets uint64) error {
	if slow, ok := slowIn(err); ok {
		return fmt.Errorf("%w; the flows of the %d packets that came were taken", slow, packets)
	}
	if errors.Is(err, pcapfile.ErrFormat) {
		return failf(http.StatusBadRequest, "body: %w: send pcap or pcapng, plain or compressed with gzip or zstd", err)
	}
	var damage *pcapfile.DamageError
	if errors.As(err, &damage) {
		return failf(http.StatusBadRequest, "body: %w; the flows of the %d packets that could be read were taken", err, packets)
	}
	return fmt.Errorf("capture file, after %d packets: %w", packets, err)
}

// imported is what became of the packets of a file.
type imported struct {
	flow.Ledger
	unknown map[flow.LinkType]uint64 // packets by a link type that is not decoded
	lost    uint64                   // that the program that captured says it lost
}

// count keeps what the ledger of a table does not tell of a run of packets.
func (i *imported) count(run pcapfile.Run) {
	if run.Link.Known() {
		return
	}
	if i.unknown == nil {
		i.unknown = map[flow.LinkType]uint64{}
	}
	if _, known := i.unknown[run.Link]; known || len(i.unknown) < importLinks {
		i.unknown[run.Link] += uint64(len(run.Packets))
	}
}

// warnings say what a sender should know, once for each: which packets are in no flow, and which are not sound.
func (i *imported) warnings() (list []string) {
	for cause, n := range i.Drops {
		if n > 0 {
			list = append(list, fmt.Sprintf("%d of %d packets are in no flow: %v", n, i.Received, flow.Cause(cause)))
		}
	}
	for _, link := range slices.Sorted(maps.Keys(i.unknown)) {
		list = append(list, fmt.Sprintf("%d packets have the link type %d, which is not decoded", i.unknown[link], link))
	}
	for fault, n := range i.Faults {
		if n > 0 && flow.Fault(fault) != flow.FaultLink { // those are named already
			list = append(list, fmt.Sprintf("%d packets were counted, but are not sound: %v", n, flow.Fault(fault)))
		}
	}
	if i.FlowsEvicted > 0 {
		list = append(list, fmt.Sprintf("%d flows ended before their time to make room for others", i.FlowsEvicted))
	}
	if i.lost > 0 {
		list = append(list, fmt.Sprintf("%d packets are not in the file: the program that captured says it lost them", i.lost))
	}
	return list
}

// readPackets turns the packets of a file into flows, and hands those to the hub; it
// returns what became of them.
func readPackets(ctx context.Context, body io.Reader, hub FlowHub, where flow.Options) (taken imported, err error) {
	reader, err := pcapfile.Open(body)
	if err != nil {
		return taken, err
	}
	defer reader.Close()
	out := &importer{ctx: ctx, hub: hub}
	where.MaxFlows, where.Report = importFlows, out.report
	table := flow.NewTable(where)
	var (
		batch pcapfile.Batch
		now   int64
		ended error
	)
	for ended == nil && out.err == nil {
		ended = reader.Next(&batch)
		for _, run := range batch.Runs {
			table.Add(run.Link, run.Packets)
			taken.count(run)
			for i := range run.Packets {
				now = max(now, run.Packets[i].Time)
			}
		}
		table.Advance(now)
		if ended == nil {
			ended = ctx.Err()
		}
	}
	table.Close()
	out.send()
	if errors.Is(ended, io.EOF) {
		ended = nil
	}
	taken.Ledger, taken.lost = table.Ledger(), reader.Lost()
	return taken, errors.Join(ended, out.err)
}

// importer gathers what a table reports and hands it on.
type importer struct {
	ctx   context.Context
	hub   FlowHub
	flows []*flow.Flow
	err   error
}

func (i *importer) report(f *flow.Flow, _ flow.Reason) {
	i.flows = append(i.flows, f.Clone())
	if len(i.flows) >= importBatch {
		i.send()
	}
}

func (i *importer) send() {
	if len(i.flows) > 0 && i.err == nil {
		i.err = i.hub.Import(i.ctx, i.flows)
	}
	i.flows = nil // the hub's now
}

// writePcap answers a query that ends in RawPackets with a capture file: in the order of
// time, as pcap, or as pcapng where the packets begin with different headers.
func writePcap(w http.ResponseWriter, result *gremlin.Result) error {
	if result.Kind() != gremlin.KindPackets {
		return failf(http.StatusNotAcceptable, "only packets make a capture file, and this gives %s: end the query with RawPackets()", result.Kind())
	}
	list := packetsOf(result)
	format, link := pcapfile.Pcap, flow.LinkEthernet
	if len(list) > 0 {
		link = list[0].link
	}
	if slices.ContainsFunc(list, func(p linkedPacket) bool { return p.link != link }) {
		format = pcapfile.Pcapng
	}
	w.Header().Set("Content-Type", skydive.ContentPcap)
	out := pcapfile.NewWriter(w, format, link)
	for _, p := range list {
		if err := out.Write(p.link, p.Packet); err != nil {
			return fmt.Errorf("capture file: %w", err)
		}
	}
	return out.Flush()
}

// linkedPacket is a packet with the kind of its first header.
type linkedPacket struct {
	flow.Packet
	link  flow.LinkType
	index int64
}

// packetsOf gathers the packets of all flows of a result in the order of time.
func packetsOf(result *gremlin.Result) []linkedPacket {
	packets := result.Packets()
	list := make([]linkedPacket, len(packets))
	for i, p := range packets {
		list[i] = linkedPacket{
			Packet: flow.Packet{Data: p.Data, Length: len(p.Data), Time: p.Timestamp*int64(time.Millisecond) + p.Nanos},
			link:   flow.LinkType(p.LinkType), index: p.Index,
		}
	}
	slices.SortStableFunc(list, func(a, b linkedPacket) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.index, b.index))
	})
	return list
}
