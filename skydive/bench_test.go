package skydive

import "testing"

func benchNode() *Node {
	return &Node{
		ID: "0a4b1a5e-2f6c-4b2b-7a53-7bd0d2ac2a5e", Host: "host-a", Origin: "agent.host-a", CreatedAt: 1721203200000,
		UpdatedAt: 1721203200123, Revision: 3,
		Metadata: Metadata{
			"Name": "eth0", "Type": "device", "MAC": "52:54:00:12:34:56", "MTU": int64(1500), "State": "UP",
			"IfIndex": int64(2), "IPV4": []any{"10.0.0.1/24"}, "Driver": "virtio_net", "EncapType": "ether",
			"TID": "c5f4f9e5-5d6c-5b7b-9d5a-6c0f1a2b3c4d",
		},
	}
}

func BenchmarkNodeAppend(b *testing.B) {
	n := benchNode()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = n.AppendJSON(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkNodeDecode(b *testing.B) {
	text, _ := benchNode().AppendJSON(nil)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var n Node
		if err := n.UnmarshalJSON(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMessageDecode(b *testing.B) {
	m, _ := NewMessage(NamespaceGraph, MsgNodeAdded, "5b3b4f0c-5e0a-4f1e-8a55-0d6c4f2c9b11", benchNode())
	for _, protocol := range []string{ProtocolJSON, ProtocolProtobuf} {
		frame, _ := m.Append(nil, protocol)
		b.Run(protocol, func(b *testing.B) {
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeMessage(frame, protocol); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
