package flowtest

// GRE is a GRE header, RFC 2784 and 2890.
type GRE struct {
	Protocol    uint16 // 0 = that of what follows
	HasChecksum bool
	HasKey      bool
	Key         uint32
	HasSequence bool
	Sequence    uint32
}

func (l GRE) wrap(payload []byte, at place) []byte {
	h := be.AppendUint16([]byte{0, 0}, or(l.Protocol, etherType(at.next())))
	if l.HasChecksum {
		h[0] |= 0x80
		h = append(h, 0, 0, 0, 0)
	}
	if l.HasKey {
		h[0] |= 0x20
		h = be.AppendUint32(h, l.Key)
	}
	if l.HasSequence {
		h[0] |= 0x10
		h = be.AppendUint32(h, l.Sequence)
	}
	b := join(h, payload)
	if l.HasChecksum {
		be.PutUint16(b[4:], fold(sum(b, 0)))
	}
	return b
}

// VXLAN is a VXLAN header, RFC 7348; it follows UDP to port 4789.
type VXLAN struct{ VNI uint32 }

func (l VXLAN) wrap(payload []byte, _ place) []byte {
	return join(be.AppendUint32([]byte{8, 0, 0, 0}, l.VNI<<8), payload)
}

// Geneve is a Geneve header, RFC 8926; it follows UDP to port 6081.
type Geneve struct {
	VNI      uint32
	Options  []byte // filled up to 4 bytes with zeros
	Protocol uint16 // 0 = that of what follows
}

func (l Geneve) wrap(payload []byte, at place) []byte {
	options := append([]byte(nil), l.Options...)
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	h := []byte{byte(len(options) / 4), 0}
	h = be.AppendUint16(h, or(l.Protocol, etherType(at.next())))
	h = be.AppendUint32(h, l.VNI<<8)
	return join(append(h, options...), payload)
}

// ERSPAN is an ERSPAN header of type II; it follows GRE with a sequence number and carries Ethernet.
type ERSPAN struct {
	Session uint16
	VLAN    uint16
	Index   uint32
}

func (l ERSPAN) wrap(payload []byte, _ place) []byte {
	h := be.AppendUint16(nil, 1<<12|l.VLAN&0xfff)
	h = be.AppendUint16(h, l.Session&0x3ff)
	return join(be.AppendUint32(h, l.Index&0xfffff), payload)
}
