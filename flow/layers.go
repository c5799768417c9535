package flow

import "time"

// DNS is a DNS message as Skydive's layer shows it. Of a flow it is the last message seen.
type DNS struct {
	ID           uint32        `json:"ID,omitzero"`
	QR           bool          `json:"QR,omitzero"` // an answer
	OpCode       string        `json:"op_code,omitzero"`
	AA           bool          `json:"AA,omitzero"`
	TC           bool          `json:"TC,omitzero"`
	RD           bool          `json:"RD,omitzero"`
	RA           bool          `json:"RA,omitzero"`
	Z            uint32        `json:"z,omitzero"`
	ResponseCode string        `json:"response_code,omitzero"`
	QDCount      uint32        `json:"QDCount,omitzero"`
	ANCount      uint32        `json:"ANCount,omitzero"`
	NSCount      uint32        `json:"NSCount,omitzero"`
	ARCount      uint32        `json:"ARCount,omitzero"`
	Questions    []DNSQuestion `json:"questions,omitzero"`
	Answers      []DNSRecord   `json:"answers,omitzero"`
	Authorities  []DNSRecord   `json:"authorities,omitzero"`
	Additionals  []DNSRecord   `json:"additionals,omitzero"`
	Timestamp    time.Time     `json:"timestamp"` // when the message was seen
}

// DNSQuestion is a question of a DNS message.
type DNSQuestion struct {
	Name  string `json:"name,omitzero"`
	Type  string `json:"type,omitzero"`
	Class string `json:"class,omitzero"`
}

// DNSRecord is a resource record of a DNS message. Only the fields of its type are set.
type DNSRecord struct {
	Name       string      `json:"name,omitzero"`
	Type       string      `json:"type,omitzero"`
	Class      string      `json:"class,omitzero"`
	TTL        uint32      `json:"TTL,omitzero"` // seconds
	DataLength uint32      `json:"data_length,omitzero"`
	IP         string      `json:"IP,omitzero"`
	NS         string      `json:"NS,omitzero"`
	CName      string      `json:"CName,omitzero"`
	PTR        string      `json:"PTR,omitzero"`
	TXTs       []string    `json:"TXTs,omitzero"`
	SOA        *DNSSOA     `json:"SOA,omitzero"`
	SRV        *DNSSRV     `json:"SRV,omitzero"`
	MX         *DNSMX      `json:"MX,omitzero"`
	OPT        []DNSOption `json:"OPT,omitzero"`
}

// DNSSOA is a start of authority, RFC 1035 section 3.3.13.
type DNSSOA struct {
	MName   string `json:"MName,omitzero"`
	RName   string `json:"RName,omitzero"`
	Serial  uint32 `json:"serial,omitzero"`
	Refresh uint32 `json:"refresh,omitzero"`
	Retry   uint32 `json:"retry,omitzero"`
	Expire  uint32 `json:"expire,omitzero"`
	Minimum uint32 `json:"minimum,omitzero"`
}

// DNSSRV is a service record, RFC 2782.
type DNSSRV struct {
	Priority uint32 `json:"priority,omitzero"`
	Weight   uint32 `json:"weight,omitzero"`
	Port     uint32 `json:"port,omitzero"`
	Name     string `json:"name,omitzero"`
}

// DNSMX is a mail exchange, RFC 1035 section 3.3.9.
type DNSMX struct {
	Preference uint32 `json:"preference,omitzero"`
	Name       string `json:"name,omitzero"`
}

// DNSOption is an option of an OPT record, RFC 6891 section 6.1.2. What is not UTF-8 of its data is replaced.
type DNSOption struct {
	Code string `json:"Code,omitzero"`
	Data string `json:"Data,omitzero"`
}

// DHCPv4 is a DHCP message, RFC 2131 section 2, as Skydive's layer shows it: its options are in Contents only.
type DHCPv4 struct {
	Contents     []byte `json:"contents,omitzero"` // the whole message
	Payload      []byte `json:"payload,omitzero"`
	HardwareLen  uint32 `json:"hardware_len,omitzero"`
	HardwareOpts uint32 `json:"hardware_opts,omitzero"` // the field "hops"
	Xid          uint32 `json:"xid,omitzero"`
	Secs         uint32 `json:"secs,omitzero"`
	Flags        uint32 `json:"flags,omitzero"`
	ServerName   []byte `json:"server_name,omitzero"` // 64 bytes, filled up with zeros
	File         []byte `json:"file,omitzero"`        // 128 bytes, filled up with zeros
}

// VRRPv2 is a VRRP advertisement, RFC 3768 section 5, as Skydive's layer shows it.
type VRRPv2 struct {
	Contents     []byte `json:"contents,omitzero"`
	Payload      []byte `json:"payload,omitzero"`
	Version      uint32 `json:"version,omitzero"`
	VirtualRtrID uint32 `json:"VirtualRtrID,omitzero"`
	Priority     uint32 `json:"priority,omitzero"`
	CountIPAddr  uint32 `json:"CountIPAddr,omitzero"`
	AdverInt     uint32 `json:"adver_int,omitzero"` // seconds
	Checksum     uint32 `json:"checksum,omitzero"`
}
