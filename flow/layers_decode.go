package flow

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// ErrLayer says that a payload is not the message that it was taken for.
var ErrLayer = errors.New("not a message of this layer")

// DecodeDNS reads a DNS message, the payload of a UDP packet (RFC 1035 section 4). Of a message that ends early, as one does
// that a capture cut, it gives what could be read, with an error; without a header it gives nil. Nothing of the
// payload is kept. Timestamp is for the caller to set.
func DecodeDNS(payload []byte) (*DNS, error) {
	var m layers.DNS
	err := decodeLayer("DNS", &m, payload)
	if len(payload) < 12 {
		return nil, err
	}
	d := &DNS{
		ID: uint32(m.ID), QR: m.QR, OpCode: m.OpCode.String(), AA: m.AA, TC: m.TC, RD: m.RD, RA: m.RA, Z: uint32(m.Z),
		ResponseCode: m.ResponseCode.String(),
		QDCount:      uint32(m.QDCount), ANCount: uint32(m.ANCount), NSCount: uint32(m.NSCount), ARCount: uint32(m.ARCount),
		Answers: dnsRecords(m.Answers), Authorities: dnsRecords(m.Authorities), Additionals: dnsRecords(m.Additionals),
	}
	for _, q := range m.Questions {
		d.Questions = append(d.Questions, DNSQuestion{Name: string(q.Name), Type: q.Type.String(), Class: q.Class.String()})
	}
	return d, err
}

func dnsRecords(section []layers.DNSResourceRecord) []DNSRecord {
	var all []DNSRecord
	for i := range section {
		all = append(all, dnsRecord(&section[i]))
	}
	return all
}

func dnsRecord(r *layers.DNSResourceRecord) DNSRecord {
	d := DNSRecord{Name: string(r.Name), Type: r.Type.String(), Class: r.Class.String(), TTL: r.TTL, DataLength: uint32(r.DataLength)}
	switch r.Type {
	case layers.DNSTypeA, layers.DNSTypeAAAA:
		d.IP = r.IP.String()
	case layers.DNSTypeNS:
		d.NS = string(r.NS)
	case layers.DNSTypeCNAME:
		d.CName = string(r.CNAME)
	case layers.DNSTypePTR:
		d.PTR = string(r.PTR)
	case layers.DNSTypeTXT, layers.DNSTypeHINFO:
		for _, s := range r.TXTs {
			d.TXTs = append(d.TXTs, string(s))
		}
	case layers.DNSTypeSOA:
		d.SOA = &DNSSOA{
			MName: string(r.SOA.MName), RName: string(r.SOA.RName),
			Serial: r.SOA.Serial, Refresh: r.SOA.Refresh, Retry: r.SOA.Retry, Expire: r.SOA.Expire, Minimum: r.SOA.Minimum,
		}
	case layers.DNSTypeSRV:
		d.SRV = &DNSSRV{Priority: uint32(r.SRV.Priority), Weight: uint32(r.SRV.Weight), Port: uint32(r.SRV.Port), Name: string(r.SRV.Name)}
	case layers.DNSTypeMX:
		d.MX = &DNSMX{Preference: uint32(r.MX.Preference), Name: string(r.MX.Name)}
	case layers.DNSTypeOPT:
		for _, o := range r.OPT {
			d.OPT = append(d.OPT, DNSOption{Code: o.Code.String(), Data: string(o.Data)})
		}
	default: // the common fields say what there is
	}
	return d
}

// DecodeDHCPv4 reads a DHCP message, the payload of a UDP packet (RFC 2131 section 2).
func DecodeDHCPv4(payload []byte) (*DHCPv4, error) {
	var m layers.DHCPv4
	if err := decodeLayer("DHCPv4", &m, payload); err != nil {
		return nil, err
	}
	return &DHCPv4{
		Contents: slices.Clone(m.Contents), HardwareLen: uint32(m.HardwareLen), HardwareOpts: uint32(m.RelayHops),
		Xid: m.Xid, Secs: uint32(m.Secs), Flags: uint32(m.Flags),
		ServerName: slices.Clone(m.ServerName), File: slices.Clone(m.File),
	}, nil
}

// DecodeVRRPv2 reads a VRRP advertisement, the payload of an IPv4 packet of protocol 112 (RFC 3768 section 5). Other
// versions of VRRP are an error.
func DecodeVRRPv2(payload []byte) (*VRRPv2, error) {
	if len(payload) < 8 || payload[0]>>4 != 2 {
		return nil, fmt.Errorf("VRRPv2: %w", ErrLayer)
	}
	var m layers.VRRPv2
	if err := decodeLayer("VRRPv2", &m, payload); err != nil {
		return nil, err
	}
	return &VRRPv2{
		Contents: slices.Clone(m.Contents), Version: uint32(m.Version), VirtualRtrID: uint32(m.VirtualRtrID), Priority: uint32(m.Priority),
		CountIPAddr: uint32(m.CountIPAddr), AdverInt: uint32(m.AdverInt), Checksum: uint32(m.Checksum),
	}, nil
}

// decodeLayer runs a decoder of gopacket. Like gopacket itself it takes a panic for a packet that is wrong: the bytes
// come from the network, and a capture must outlive them.
func decodeLayer(name string, layer gopacket.DecodingLayer, payload []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %w: %v", name, ErrLayer, r)
		}
	}()
	if err := layer.DecodeFromBytes(payload, gopacket.NilDecodeFeedback); err != nil {
		return fmt.Errorf("%s: %w: %w", name, ErrLayer, err)
	}
	return nil
}
