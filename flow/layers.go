package flow

// DNS is a DNS message as Skydive's layer shows it. Of a flow it is the last message seen.
type DNS struct {
	ID                                uint32
	QR, AA, TC, RD, RA                bool
	OpCode, ResponseCode              string
	Z                                 uint32
	QuestionCount, AnswerCount        uint32
	AuthorityCount, AdditionalCount   uint32
	Questions                         []DNSQuestion
	Answers, Authorities, Additionals []DNSRecord
	Timestamp                         int64 // ns since the epoch
}

// DNSQuestion is a question of a DNS message.
type DNSQuestion struct{ Name, Type, Class string }

// DNSRecord is a resource record of a DNS message. Only the fields of its type are set.
type DNSRecord struct {
	Name, Type, Class string
	TTL, DataLength   uint32
	IP                string
	NS, CName, PTR    string
	TXTs              []string
	SOA               *DNSSOA
	SRV               *DNSSRV
	MX                *DNSMX
	OPT               []DNSOption
}

// DNSSOA is a start of authority, RFC 1035 section 3.3.13.
type DNSSOA struct {
	MName, RName                            string
	Serial, Refresh, Retry, Expire, Minimum uint32
}

// DNSSRV is a service record, RFC 2782.
type DNSSRV struct {
	Priority, Weight, Port uint32
	Name                   string
}

// DNSMX is a mail exchange, RFC 1035 section 3.3.9.
type DNSMX struct {
	Preference uint32
	Name       string
}

// DNSOption is an option of an OPT record, RFC 6891.
type DNSOption struct {
	Code string
	Data []byte
}

// DHCPv4 is a DHCP message, RFC 2131, as Skydive's layer shows it.
type DHCPv4 struct {
	Contents, Payload                           []byte
	HardwareLen, HardwareOpts, Xid, Secs, Flags uint32
	ServerName, File                            []byte
}

// VRRPv2 is a VRRP advertisement, RFC 3768, as Skydive's layer shows it.
type VRRPv2 struct {
	Contents, Payload                                                []byte
	Version, VirtualRtrID, Priority, CountIPAddr, AdverInt, Checksum uint32
}
