package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/skydive"
)

// newCapture is the group of commands that switch flow capture on and off.
func newCapture(conn *connection) *cobra.Command {
	group := groupCommand("capture", "Capture flows on the nodes that a query finds")
	r := resource{name: "capture", title: "capture", path: skydive.PathCapture, id: "UUID"}
	get, remove := newCaptureGet(conn, r), r.delete(conn)
	for _, cmd := range []*cobra.Command{get, remove} {
		cmd.ValidArgsFunction = conn.completeCaptures
	}
	group.AddCommand(newCaptureList(conn), get, newCaptureCreate(conn), remove)
	return group
}

func newCaptureCreate(conn *connection) *cobra.Command {
	var (
		c      skydive.Capture
		layers []string
		ttl    time.Duration
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "create QUERY",
		Short: "Capture on the nodes that a query gives, now or later, and print its id",
		Long: `Captures flows on every node that the Gremlin query gives, on any host, now and as long as
the capture exists: nodes that appear later are captured too. --bpf takes an expression of
tcpdump; what it cannot be is said at once, with the position.`,
		Example: `  weft capture create "G.V().Has('Name','eth0')"
  weft capture create "G.V().Has('Type','veth')" --bpf "tcp port 443" --tcp-metrics --ttl 10m
  weft capture create "G.V().Has('Name','br0')" --type sflow --port 6343`,
		Args:              rangeArgs(1, 1),
		ValidArgsFunction: completeGremlin,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if c.GremlinQuery, err = conn.sh.queryText(args[0]); err != nil {
				return err
			}
			if c.ExtraLayers, err = extraLayers(layers); err != nil {
				return err
			}
			if ttl < 0 {
				return usagef("--ttl %s is in the past: give a time from now on, such as 10m", ttl)
			}
			text, err := json.Marshal(&c)
			if err != nil {
				return fmt.Errorf("capture: %w", err)
			}
			answer, err := conn.create(cmd.Context(), skydive.PathCapture, text, ttl)
			if err != nil {
				return pointedBPF(c.BPFFilter, c.HeaderSize, err)
			}
			if asJSON {
				err = conn.sh.printJSON(answer)
			} else {
				var made skydive.Capture
				if err := json.Unmarshal(answer, &made); err != nil {
					return fmt.Errorf("answer of the analyzer: %w", err)
				}
				_, err = fmt.Fprintln(conn.sh.out, printable(made.UUID))
			}
			if err == nil && conn.findsNothing(cmd.Context(), c.GremlinQuery) {
				conn.sh.note("%s: no node yet: captured as soon as one appears", cmd.CommandPath())
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.BPFFilter, "bpf", "", "only packets that this expression of tcpdump takes")
	f.StringVar(&c.Name, "name", "", "what people call it")
	f.StringVar(&c.Description, "description", "", "what it is for")
	f.StringVar(&c.Type, "type", "", "afpacket (default), or a listener on each node: sflow or netflow")
	f.IntVar(&c.Port, "port", 0, "UDP port of an sflow or netflow listener")
	f.Uint32Var(&c.SamplingRate, "sampling", 0, "count one packet of so many (0: all)")
	f.Uint32Var(&c.PollingInterval, "polling", 0, "seconds between counter samples of sFlow")
	f.IntVar(&c.RawPacketLimit, "raw-packets", 0, "packets to keep of each flow (-1: as many as there is room for)")
	f.IntVar(&c.HeaderSize, "header-size", 0, "bytes of each packet to look at (0: what is needed)")
	f.BoolVar(&c.ExtraTCPMetric, "tcp-metrics", false, "follow the life of TCP connections")
	f.BoolVar(&c.IPDefrag, "defragment", false, "put fragments of IP together")
	f.BoolVar(&c.ReassembleTCP, "reassemble", false, "count segments out of order and missing")
	f.StringVar(&c.LayerKeyMode, "key-mode", "", "what tells flows apart: L2 (default), MAC addresses too, or L3")
	f.StringSliceVar(&layers, "extra-layers", nil, "layers to decode: dns, dhcpv4, vrrp, with commas between")
	f.DurationVar(&ttl, "ttl", 0, "delete it after this time, such as 10m (0: keep it)")
	f.BoolVar(&asJSON, "json", false, "print the whole as JSON, not the id only")
	fixed := func(flag string, words ...string) {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	fixed("type", skydive.CaptureAFPacket, skydive.CaptureSFlow, skydive.CaptureNetFlow)
	fixed("key-mode", skydive.LayerKeyL2, skydive.LayerKeyL3)
	fixed("extra-layers", "dns", "dhcpv4", "vrrp")
	return cmd
}

// findsNothing says whether a query finds no node at this moment; false where that cannot be told: the capture is made,
// whatever becomes of this.
func (c *connection) findsNothing(ctx context.Context, expr string) bool {
	if q, err := gremlin.Parse(expr); err == nil && q.Kind() == gremlin.KindNodes {
		expr += ".Limit(1)"
	}
	answer, err := c.query(ctx, expr)
	if err != nil {
		return false
	}
	var found []skydive.RawJSON
	if json.Unmarshal(answer, &found) != nil || len(found) != 1 {
		return len(found) == 0
	}
	var graph struct{ Nodes, Edges *[]skydive.RawJSON } // one graph, without a node
	return json.Unmarshal(found[0], &graph) == nil && graph.Edges != nil && (graph.Nodes == nil || len(*graph.Nodes) == 0)
}

// newCaptureGet is the command that shows one capture: its fields, and a table of its nodes.
func newCaptureGet(conn *connection, r resource) *cobra.Command {
	cmd := r.get(conn)
	whole := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
			return whole(cmd, args)
		}
		text, err := conn.get(cmd.Context(), r.path, args[0])
		if err != nil {
			return naming(args[0], err)
		}
		fields, err := parseRecord(text)
		var state skydive.CaptureState
		if err = errors.Join(err, json.Unmarshal(text, &state)); err != nil {
			return fmt.Errorf("%s %s: %w", r.title, args[0], err)
		}
		fields.keys = slices.DeleteFunc(fields.keys, func(key string) bool { return key == "Nodes" })
		if state.ExtraLayers != 0 {
			fields.values["ExtraLayers"] = quoted(layerNames(state.ExtraLayers))
		}
		t := newTable("Field", "Value")
		addFields(t, "", fields)
		if err := t.write(conn.sh.out, conn.sh.screen); err != nil || len(state.Nodes) == 0 {
			return err
		}
		fmt.Fprintln(conn.sh.out)
		nodes := newTable("Host", "Node", "Type", "State", "Received", "Counted", "Dropped", "NodeTID", "Error")
		for _, n := range state.Nodes {
			nodes.add(append(append([]string{n.Host, n.Name, n.Type, n.State}, ledgerCells(n.Ledger)...), n.TID, n.Error)...)
		}
		return nodes.write(conn.sh.out, conn.sh.screen)
	}
	return cmd
}

// layerNames are the names of layers by bits, as --extra-layers takes them.
func layerNames(bits int) string {
	var names []string
	for _, layer := range []struct {
		bit  int
		name string
	}{{skydive.ExtraLayerDNS, "dns"}, {skydive.ExtraLayerDHCPv4, "dhcpv4"}, {skydive.ExtraLayerVRRP, "vrrp"}} {
		if bits&layer.bit != 0 {
			names, bits = append(names, layer.name), bits&^layer.bit
		}
	}
	if bits != 0 {
		names = append(names, strconv.Itoa(bits))
	}
	return strings.Join(names, ",")
}

// extraLayers adds up the bits of layers by name.
func extraLayers(names []string) (bits int, err error) {
	for _, name := range names {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "vrrp", "vrrpv2":
			bits |= skydive.ExtraLayerVRRP
		case "dns":
			bits |= skydive.ExtraLayerDNS
		case "dhcp", "dhcpv4":
			bits |= skydive.ExtraLayerDHCPv4
		default:
			return 0, usagef("--extra-layers %s: write dns, dhcpv4 or vrrp", name)
		}
	}
	return bits, nil
}

func newCaptureList(conn *connection) *cobra.Command {
	var asJSON, nodes bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List every capture, with what it counted and lost",
		Long: `Lists every capture. Received is the packets that passed its filter; each is either Counted in
a flow or Dropped, by a cause that is named. --nodes shows each node that a query finds, with
its state and why it failed.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				text, err := conn.get(cmd.Context(), skydive.PathCapture, "")
				if err != nil {
					return err
				}
				return conn.sh.printJSON(text)
			}
			var all map[string]*skydive.CaptureState
			err := conn.with(func(cl *client.Client) (err error) {
				all, err = cl.CaptureStates().List(cmd.Context())
				return err
			})
			if err != nil {
				return err
			}
			if len(all) == 0 {
				return (resultPrinter{sh: conn.sh}).nothing()
			}
			return captureTable(all, nodes).write(conn.sh.out, conn.sh.screen)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: an object by id")
	cmd.Flags().BoolVar(&nodes, "nodes", false, "a row for each node of each capture")
	return cmd
}

// captureTable shows captures, or each node of each.
func captureTable(all map[string]*skydive.CaptureState, nodes bool) *table {
	ids := make([]string, 0, len(all))
	for id := range all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if !nodes {
		t := newTable("UUID", "Name", "GremlinQuery", "BPFFilter", "Type", "Count", "Failed", "Received", "Counted", "Dropped")
		for _, id := range ids {
			c := all[id]
			failed := 0
			for _, n := range c.Nodes {
				if n.State == skydive.CaptureFailed {
					failed++
				}
			}
			t.add(append([]string{id, c.Name, c.GremlinQuery, c.BPFFilter, c.Type, strconv.Itoa(c.Count), strconv.Itoa(failed)}, ledgerCells(c.Ledger)...)...)
		}
		return t
	}
	t := newTable("UUID", "Host", "Node", "Type", "State", "Received", "Counted", "Dropped", "Error")
	for _, id := range ids {
		for _, n := range all[id].Nodes {
			t.add(append(append([]string{id, n.Host, n.Name, n.Type, n.State}, ledgerCells(n.Ledger)...), n.Error)...)
		}
	}
	return t
}

// ledgerCells are what was received, counted and dropped, the last with its causes.
func ledgerCells(l *skydive.CaptureLedger) []string {
	if l == nil {
		return []string{"", "", ""}
	}
	causes := make([]string, 0, len(l.Drops))
	for cause, n := range l.Drops {
		causes = append(causes, fmt.Sprintf("%s %d", cause, n))
	}
	slices.Sort(causes)
	dropped := strconv.FormatUint(l.Dropped(), 10)
	if len(causes) > 0 {
		dropped += " (" + strings.Join(causes, ", ") + ")"
	}
	return []string{strconv.FormatUint(l.Received, 10), strconv.FormatUint(l.Counted, 10), dropped}
}

// completeCaptures offers the ids of the captures there are.
func (c *connection) completeCaptures(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var offers []string
	_ = c.with(func(cl *client.Client) error { // without an analyzer there is nothing to offer
		all, err := cl.Captures().List(cmd.Context())
		for id, one := range all {
			if strings.HasPrefix(id, typed) {
				offers = append(offers, id+"\t"+one.GremlinQuery)
			}
		}
		return err
	})
	slices.Sort(offers)
	return offers, cobra.ShellCompDirectiveNoFileComp
}
