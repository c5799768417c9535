package api

import (
	"fmt"
	"strings"

	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/skydive"
)

// Bounds of a capture's fields.
const (
	maxCaptureID   = 64
	maxCaptureText = 4096         // bytes of a name, description, query or filter
	maxHeaderSize  = 65535        // no packet is longer
	maxRawPackets  = 10_000       // kept a flow
	maxSampling    = 1_000_000    // packets per sample
	maxPolling     = 24 * 60 * 60 // seconds
	allExtraLayers = skydive.ExtraLayerVRRP | skydive.ExtraLayerDNS | skydive.ExtraLayerDHCPv4
)

// checkCapture says what is wrong with a capture, and what to write instead. Type becomes
// one of those that agents know.
func checkCapture(c *skydive.Capture) error {
	if err := checkCaptureID(c.UUID); err != nil {
		return err
	}
	for _, text := range []struct{ field, value string }{
		{"Name", c.Name}, {"Description", c.Description}, {"GremlinQuery", c.GremlinQuery}, {"BPFFilter", c.BPFFilter},
	} {
		if len(text.value) > maxCaptureText {
			return fmt.Errorf("%s is longer than %d bytes", text.field, maxCaptureText)
		}
	}
	if err := checkCaptureQuery(c.GremlinQuery); err != nil {
		return err
	}
	if err := checkCaptureType(c); err != nil {
		return err
	}
	if err := checkTarget(c); err != nil {
		return err
	}
	if err := checkCaptureNumbers(c); err != nil {
		return err
	}
	switch c.LayerKeyMode {
	case "", skydive.LayerKeyL2, skydive.LayerKeyL3:
	default:
		return fmt.Errorf("LayerKeyMode is %q: use %s, which tells flows apart by their MAC addresses too, or %s", clip(c.LayerKeyMode), skydive.LayerKeyL2, skydive.LayerKeyL3)
	}
	if c.BPFFilter == "" {
		return nil
	}
	return checkBPF(c)
}

// checkCaptureID bounds an id that a client chose: it becomes part of file names and of
// subjects.
func checkCaptureID(id string) error {
	if len(id) > maxCaptureID {
		return fmt.Errorf("UUID is longer than %d bytes", maxCaptureID)
	}
	for _, c := range id {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return fmt.Errorf("UUID %q has characters other than letters, digits, '-' and '_': leave it out and the server makes one", clip(id))
		}
	}
	return nil
}

func checkCaptureQuery(text string) error {
	if text == "" {
		return fmt.Errorf("GremlinQuery is missing: give an expression for the nodes to capture on, such as G.V().Has('Name', 'eth0')")
	}
	query, err := gremlin.Parse(text)
	if err != nil {
		return fmt.Errorf("GremlinQuery: %w", err)
	}
	if !query.Live() {
		return fmt.Errorf("GremlinQuery is about the past: leave At and Context out, a capture is on the nodes of now")
	}
	switch kind := query.Kind(); kind {
	case gremlin.KindNodes, gremlin.KindPaths, gremlin.KindGraph:
		return nil
	default:
		return fmt.Errorf("GremlinQuery gives %s: a capture needs an expression that gives nodes, such as G.V().Has('Name', 'eth0')", kind)
	}
}

// checkCaptureType says what there is in place of Skydive's types that weft does not have.
func checkCaptureType(c *skydive.Capture) error {
	instead := ""
	switch c.Type {
	case "", skydive.CaptureAFPacket, skydive.CaptureSFlow, skydive.CaptureNetFlow:
	case skydive.CapturePcap:
		c.Type = skydive.CaptureAFPacket // the same packets, without libpcap
	case "pcapsocket":
		instead = "send the file to /api/pcap, or read it with 'weft flows FILE.pcap'"
	case "ovssflow":
		instead = "use sflow with a Port, and point the bridge's sFlow at that"
	case "ovsnetflow":
		instead = "use netflow with a Port, and point the bridge's NetFlow or IPFIX at that"
	case "ovsmirror":
		instead = "mirror to a port of the bridge with ovs-vsctl, and capture on that with afpacket"
	case "dpdk", "ebpf":
		instead = "use afpacket on an interface that the kernel knows"
	default:
		instead = "use afpacket, sflow or netflow"
	}
	if instead != "" {
		return fmt.Errorf("Type %q is not supported: %s", clip(c.Type), instead)
	}
	listens := c.Type == skydive.CaptureSFlow || c.Type == skydive.CaptureNetFlow
	switch {
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("Port is %d: give one from 1 to 65535, or leave it out", c.Port)
	case c.Port != 0 && !listens:
		return fmt.Errorf("Port is %d, but only the types sflow and netflow listen on one: leave it out", c.Port)
	case listens && c.BPFFilter != "" && c.Type == skydive.CaptureNetFlow:
		return fmt.Errorf("BPFFilter with Type netflow: flow records are not packets, leave it out and filter the flows in the query")
	}
	return nil
}

// checkTarget refuses to send packets or flows elsewhere, and names what does that.
func checkTarget(c *skydive.Capture) error {
	if c.Target == "" && c.TargetType == "" {
		return nil
	}
	switch c.TargetType {
	case skydive.TargetNetFlowV5:
		return fmt.Errorf("TargetType %s is not supported: follow the flows at /ws/subscriber/flow, or with 'weft flows --follow'", c.TargetType)
	case skydive.TargetERSPANV1:
		return fmt.Errorf("TargetType %s is not supported: mirror the interface with 'tc … action mirred' into a device of type erspan", c.TargetType)
	case "", "local":
		return fmt.Errorf("Target is not supported: leave it out, flows go to this analyzer, which serves them at /ws/subscriber/flow")
	}
	return fmt.Errorf("TargetType %q is unknown: leave Target and TargetType out, flows go to this analyzer", clip(c.TargetType))
}

func checkCaptureNumbers(c *skydive.Capture) error {
	for _, n := range []struct {
		field       string
		is          int64
		least, most int64
		remedy      string
	}{
		{"RawPacketLimit", int64(c.RawPacketLimit), -1, maxRawPackets, "-1 keeps as many as there is room for"},
		{"HeaderSize", int64(c.HeaderSize), 0, maxHeaderSize, "0 takes what the layers need"},
		{"SamplingRate", int64(c.SamplingRate), 0, maxSampling, "0 and 1 take every packet"},
		{"PollingInterval", int64(c.PollingInterval), 0, maxPolling, "it is in seconds, 0 leaves it to the exporter"},
	} {
		if n.is < n.least || n.is > n.most {
			return fmt.Errorf("%s is %d: give a number from %d to %d (%s)", n.field, n.is, n.least, n.most, n.remedy)
		}
	}
	if c.ExtraLayers&^allExtraLayers != 0 {
		return fmt.Errorf("ExtraLayers is %d: add up VRRP %d, DNS %d and DHCPv4 %d", c.ExtraLayers, skydive.ExtraLayerVRRP, skydive.ExtraLayerDNS, skydive.ExtraLayerDHCPv4)
	}
	if strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("Name has characters that cannot be shown")
	}
	return nil
}
