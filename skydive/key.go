package skydive

// Metadata keys of every node. Strings where the comment names no other shape.
const (
	KeyName  = "Name"  // what people call it
	KeyType  = "Type"  // one of the Type… constants, or any other word
	KeyTID   = "TID"   // topology id: the same when an agent restarts; a UUID made from names
	KeyProbe = "Probe" // who found it, where that is not the agent: "fabric", "k8s", …
	KeyState = "State" // "UP" or "DOWN" of links; of other things their own words
)

// Metadata keys of an edge.
const KeyRelationType = "RelationType" // one of the Relation… constants, or any other word

// Values of KeyRelationType.
const (
	RelationOwnership     = "ownership"     // parent holds child: host and namespace, namespace and link, bridge and port
	RelationLayer2        = "layer2"        // frames pass from one to the other
	RelationMapping       = "mapping"       // two views of one thing
	RelationNetworkPolicy = "networkpolicy" // a Kubernetes policy and what it selects
)

// Values of KeyType made by the agent's probes. Links have the kind that the kernel reports ("vlan", "dummy", …);
// only those that the code speaks of are named here.
const (
	TypeHost      = "host"
	TypeNetNS     = "netns"
	TypeDevice    = "device" // a link without a kind: hardware and loopback
	TypeVeth      = "veth"
	TypeBridge    = "bridge"
	TypeBond      = "bond"
	TypeVLAN      = "vlan"
	TypeVXLAN     = "vxlan"
	TypeMACVLAN   = "macvlan"
	TypeTun       = "tun"
	TypeGRE       = "gre"
	TypeOVSBridge = "ovsbridge"
	TypeOVSPort   = "ovsport"
	TypePatch     = "patch"
	TypeOFRule    = "ofrule"
	TypeOFGroup   = "ofgroup"
	TypeContainer = "container"
)

// Metadata keys of hosts (TypeHost).
const (
	KeyHostname             = "Hostname"
	KeyCPU                  = "CPU" // list of objects, one a logical CPU
	KeyKernelVersion        = "KernelVersion"
	KeyKernelCmdLine        = "KernelCmdLine" // object: parameter to value
	KeyOS                   = "OS"
	KeyPlatform             = "Platform"
	KeyPlatformFamily       = "PlatformFamily"
	KeyPlatformVersion      = "PlatformVersion"
	KeyVirtualizationSystem = "VirtualizationSystem"
	KeyVirtualizationRole   = "VirtualizationRole" // "host" or "guest"
	KeySockets              = "Sockets"            // list of Socket objects
)

// Metadata keys of network namespaces (TypeNetNS).
const (
	KeyPath   = "Path"   // of the file that holds the namespace
	KeyInode  = "Inode"  // integer
	KeyDevice = "Device" // integer: the device number of the file
)

// Metadata keys of links.
const (
	KeyDriver           = "Driver"
	KeyEncapType        = "EncapType" // "ether", "loopback", …
	KeyBusInfo          = "BusInfo"   // PCI address
	KeyMAC              = "MAC"       // lower case, colons
	KeyMTU              = "MTU"       // integer, bytes
	KeyLinkFlags        = "LinkFlags" // list of strings, upper case: UP BROADCAST …
	KeyIfIndex          = "IfIndex"   // integer
	KeyParentIndex      = "ParentIndex"
	KeyMasterIndex      = "MasterIndex"
	KeyPeerIfIndex      = "PeerIfIndex"
	KeyLinkNetNsID      = "LinkNetNsID"   // integer: the kernel's id of the peer's namespace
	KeyLinkNetNsName    = "LinkNetNsName" // the peer's namespace
	KeyIPv4             = "IPV4"          // list of strings, CIDR
	KeyIPv6             = "IPV6"          // list of strings, CIDR
	KeySpeed            = "Speed"         // integer, Mbit/s
	KeyVlan             = "Vlan"          // integer
	KeyFeatures         = "Features"      // object: ethtool feature to boolean
	KeyFDB              = "FDB"           // list of Neighbor objects of a bridge
	KeyNeighbors        = "Neighbors"     // list of Neighbor objects
	KeyRoutingTables    = "RoutingTables" // list of RoutingTable objects
	KeyVfs              = "Vfs"           // list of objects, one a virtual function
	KeyVfID             = "VfID"          // integer
	KeyBondMode         = "BondMode"
	KeyBondSlave        = "BondSlave" // object
	KeyPermMAC          = "PermMAC"
	KeyMetric           = "Metric"           // InterfaceMetric object: totals since the link was made
	KeyLastUpdateMetric = "LastUpdateMetric" // InterfaceMetric object: growth between Start and Last
	KeyCaptures         = "Captures"         // list of objects, one a capture that is active on the node
)

// Keys of a Neighbor object, an entry of KeyNeighbors or KeyFDB.
const (
	KeyNeighborFlags   = "Flags" // list of strings: NTF_SELF NTF_MASTER …
	KeyNeighborMAC     = "MAC"
	KeyNeighborIP      = "IP"
	KeyNeighborState   = "State" // list of strings: NUD_REACHABLE …
	KeyNeighborVlan    = "Vlan"  // integer
	KeyNeighborVNI     = "VNI"   // integer
	KeyNeighborIfIndex = "IfIndex"
)

// Keys of a RoutingTable object, and of its routes and next hops.
const (
	KeyTableID         = "ID"       // integer: 254 main, 255 local
	KeyTableSrc        = "Src"      // preferred source address
	KeyTableRoutes     = "Routes"   // list of objects
	KeyRouteProtocol   = "Protocol" // integer: as in rtnetlink(7)
	KeyRoutePrefix     = "Prefix"   // CIDR
	KeyRouteNextHops   = "NextHops" // list of objects
	KeyNextHopPriority = "Priority" // integer: the route's metric
	KeyNextHopIP       = "IP"
	KeyNextHopMAC      = "MAC"
	KeyNextHopIfIndex  = "IfIndex" // integer
)

// Keys of an InterfaceMetric object: integers, counters of the kernel's link statistics. Zero counters are left out.
const (
	MetricRxPackets         = "RxPackets"
	MetricTxPackets         = "TxPackets"
	MetricRxBytes           = "RxBytes"
	MetricTxBytes           = "TxBytes"
	MetricRxErrors          = "RxErrors"
	MetricTxErrors          = "TxErrors"
	MetricRxDropped         = "RxDropped"
	MetricTxDropped         = "TxDropped"
	MetricMulticast         = "Multicast"
	MetricCollisions        = "Collisions"
	MetricRxLengthErrors    = "RxLengthErrors"
	MetricRxOverErrors      = "RxOverErrors"
	MetricRxCrcErrors       = "RxCrcErrors"
	MetricRxFrameErrors     = "RxFrameErrors"
	MetricRxFifoErrors      = "RxFifoErrors"
	MetricRxMissedErrors    = "RxMissedErrors"
	MetricTxAbortedErrors   = "TxAbortedErrors"
	MetricTxCarrierErrors   = "TxCarrierErrors"
	MetricTxFifoErrors      = "TxFifoErrors"
	MetricTxHeartbeatErrors = "TxHeartbeatErrors"
	MetricTxWindowErrors    = "TxWindowErrors"
	MetricRxCompressed      = "RxCompressed"
	MetricTxCompressed      = "TxCompressed"
	MetricStart             = "Start" // milliseconds since the epoch
	MetricLast              = "Last"  // milliseconds since the epoch
)

// Metadata keys of Open vSwitch and of containers.
const (
	KeyUUID      = "UUID"      // of the row in OVSDB
	KeyExtID     = "ExtID"     // object: external_ids
	KeyOfPort    = "OfPort"    // integer: OpenFlow port number
	KeyOvs       = "Ovs"       // object
	KeyVlans     = "Vlans"     // list of integers
	KeyRemoteIP  = "RemoteIP"  // of a tunnel port
	KeyLocalIP   = "LocalIP"   // of a tunnel port
	KeyContainer = "Container" // object: ID Image ImageID Runtime Status InitProcessPID Hosts Labels
)

// Fields of an element that queries name with an at sign; everything else is metadata.
const (
	FieldID        = "@ID"
	FieldHost      = "@Host"
	FieldOrigin    = "@Origin"
	FieldCreatedAt = "@CreatedAt"
	FieldUpdatedAt = "@UpdatedAt"
	FieldDeletedAt = "@DeletedAt"
	FieldRevision  = "@Revision"
)
