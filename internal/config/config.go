package config

import "time"

// Config is every setting of a weft server process.
type Config struct {
	Host    string `koanf:"host" doc:"name of this host in the graph; empty: the system's host name"`
	Listen  string `koanf:"listen" doc:"HOST:PORT of the HTTP API; port 0 takes a free one"`
	DataDir string `koanf:"data-dir" doc:"directory of what survives a restart; 'memory' keeps nothing; empty: /var/lib/weft for root, else $XDG_STATE_HOME/weft"`
	NoAuth  bool   `koanf:"no-auth" doc:"serve everyone, also when listening elsewhere than on loopback"`

	Auth    Auth    `koanf:"auth"`
	TLS     TLS     `koanf:"tls"`
	NATS    NATS    `koanf:"nats"`
	Graph   Graph   `koanf:"graph"`
	Query   Query   `koanf:"query"`
	Flow    Flow    `koanf:"flow"`
	Capture Capture `koanf:"capture"`
	API     API     `koanf:"api"`
	Probes  Probes  `koanf:"probes"`
	Log     Log     `koanf:"log"`
}

// Auth says who may use the API.
type Auth struct {
	UsersFile string        `koanf:"users-file" doc:"file of users with hashed passwords, see 'weft user'; empty: users in the data directory, if it exists"`
	TokenTTL  time.Duration `koanf:"token-ttl" doc:"how long a token given by /login is valid"`
}

// TLS is the HTTP server's.
type TLS struct {
	Cert     string `koanf:"cert" doc:"PEM file of the server's certificate chain; empty: plain HTTP"`
	Key      string `koanf:"key" doc:"PEM file of the server's private key"`
	ClientCA string `koanf:"client-ca" doc:"PEM file of the authorities whose client certificates are demanded; empty: none is"`
}

// NATS is the bus between agents and analyzers.
type NATS struct {
	Listen      string  `koanf:"listen" doc:"HOST:PORT where the embedded server takes agents of other hosts; empty: no port"`
	URL         string  `koanf:"url" secret:"url" doc:"an existing NATS to use instead of the embedded one; for an agent, its analyzer's (nats://HOST:PORT)"`
	User        string  `koanf:"user" doc:"user towards the NATS of nats.url; for an agent, its host name"`
	Password    string  `koanf:"password" secret:"true" doc:"password towards the NATS of nats.url"`
	Credentials string  `koanf:"credentials" doc:"file of the agents that may connect to nats.listen, a line HOST:PASSWORD each"`
	TLS         NATSTLS `koanf:"tls"`
	Replicas    int     `koanf:"replicas" doc:"copies of each stream in the NATS cluster of nats.url"`
}

// NATSTLS is TLS on the bus, for either end of it.
type NATSTLS struct {
	Cert string `koanf:"cert" doc:"PEM file of this end's certificate"`
	Key  string `koanf:"key" doc:"PEM file of this end's private key"`
	CA   string `koanf:"ca" doc:"PEM file of the authorities that sign the other end's certificate"`
}

// Graph bounds what is held in memory.
type Graph struct {
	Window      time.Duration `koanf:"window" doc:"how far back the past is kept in memory"`
	WindowBytes Bytes         `koanf:"window-bytes" doc:"how much of the past is kept in memory"`
	OrphanAge   time.Duration `koanf:"orphan-age" doc:"how long an edge waits for its nodes"`
	OrphanMax   int           `koanf:"orphan-max" doc:"how many edges may wait for their nodes"`
	SamplesKept int           `koanf:"samples-kept" doc:"samples of counters kept an element"`
	Expire      time.Duration `koanf:"expire" doc:"how long the elements of a host that went away are kept; 0: for ever"`
}

// Query bounds one Gremlin query, and how many there are.
type Query struct {
	Deadline   time.Duration `koanf:"deadline" doc:"how long a query may run"`
	MaxResults int           `koanf:"max-results" doc:"how many results a query may give"`
	Concurrent int           `koanf:"concurrent" doc:"how many queries are evaluated at one time, the rest waits up to 5 s; 0: four for each processor"`
}

// Flow says when flows are reported, and bounds what of them is held.
type Flow struct {
	Update           time.Duration `koanf:"update" doc:"time between two reports of a flow that goes on"`
	Expire           time.Duration `koanf:"expire" doc:"silence after which a flow is over"`
	ExpireShort      time.Duration `koanf:"expire-short" doc:"silence after which a flow of ARP or DNS is over"`
	MaxFlows         int           `koanf:"max-flows" doc:"flows held for each ring of a capture, of which the least recently used is reported and dropped; 0: sized from memory"`
	Window           time.Duration `koanf:"window" doc:"how far back the flows of the past are kept in memory"`
	WindowBytes      Bytes         `koanf:"window-bytes" doc:"how much of the flows of the past is kept in memory"`
	QueueBytes       Bytes         `koanf:"queue-bytes" doc:"flow reports that an agent keeps while no analyzer takes them"`
	ApplicationPorts []string      `koanf:"application-ports" doc:"names for the application of a port, PROTOCOL:PORT:NAME each, such as TCP:443:HTTPS"`
	QueryTimeout     time.Duration `koanf:"query-timeout" doc:"how long a query waits for the flows of an agent"`
}

// Capture bounds what takes packets on an agent.
type Capture struct {
	RingBytes  Bytes         `koanf:"ring-bytes" doc:"memory that each capture shares with the kernel; 0: chosen"`
	Rings      int           `koanf:"rings" doc:"rings, each with a flow table of its own, that a capture spreads its packets over; 0: chosen"`
	Checkpoint time.Duration `koanf:"checkpoint" doc:"time between two records of a capture's ledger: what a crash may cost"`
}

// API bounds the HTTP and WebSocket server.
type API struct {
	MaxBody       Bytes         `koanf:"max-body" doc:"largest request body and WebSocket message"`
	MaxSockets    int           `koanf:"max-sockets" doc:"WebSockets open at one time"`
	QueueBytes    Bytes         `koanf:"queue-bytes" doc:"what may wait for one subscriber before it is resynchronised"`
	PingDelay     time.Duration `koanf:"ping-delay" doc:"time between two pings on a WebSocket"`
	PongTimeout   time.Duration `koanf:"pong-timeout" doc:"how long a WebSocket may be silent before it is closed"`
	HeaderTimeout time.Duration `koanf:"header-timeout" doc:"how long a client may take to send a request's head"`
	Origins       []string      `koanf:"origins" doc:"web origins (https://HOST) that may use the API from a browser, beside its own"`
	Hosts         []string      `koanf:"hosts" doc:"names that requests may give as Host, beside IP addresses, localhost and the host's own"`
}

// Probes says what an agent watches.
type Probes struct {
	Enabled []string `koanf:"enabled" doc:"probes to run; empty: those that run by default"`
	Linux   Linux    `koanf:"linux"`
	Sockets Sockets  `koanf:"sockets"`
}

// Linux is the probe of links and network namespaces.
type Linux struct {
	MetricInterval time.Duration `koanf:"metric-interval" doc:"time between two readings of the interfaces' counters"`
	NetnsDirs      []string      `koanf:"netns-dirs" doc:"directories whose files are network namespaces"`
	Processes      bool          `koanf:"processes" doc:"also find the network namespaces of processes, such as containers"`
}

// Sockets is the probe of the host's TCP and UDP sockets and their processes.
type Sockets struct {
	Interval time.Duration `koanf:"interval" doc:"time between two readings of the sockets"`
}

// Log is what the process says on standard error.
type Log struct {
	Level  string `koanf:"level" doc:"debug, info, warn or error"`
	Format string `koanf:"format" doc:"text or json"`
}

// Memory is the DataDir that keeps nothing.
const Memory = "memory"

// DefaultListen is where the API is served, and where clients look for it.
const DefaultListen = "127.0.0.1:8082"

// Default gives the settings of a process that nobody configured. It does not
// ask the system anything: Host and DataDir stay empty until [Config.Resolve].
func Default() Config {
	return Config{
		Listen: DefaultListen,
		Auth:   Auth{TokenTTL: 24 * time.Hour},
		NATS:   NATS{Replicas: 1},
		Graph: Graph{
			Window:      time.Hour,
			WindowBytes: 256 * MiB,
			OrphanAge:   10 * time.Second,
			OrphanMax:   100_000,
			SamplesKept: 240,
			Expire:      time.Hour,
		},
		Query: Query{Deadline: 30 * time.Second, MaxResults: 1_000_000},
		Flow: Flow{
			Update:       time.Minute,
			Expire:       10 * time.Minute,
			ExpireShort:  10 * time.Second,
			Window:       time.Hour,
			WindowBytes:  256 * MiB,
			QueueBytes:   256 * MiB,
			QueryTimeout: 5 * time.Second,
		},
		Capture: Capture{Checkpoint: 2 * time.Second},
		API: API{
			MaxBody:       64 * MiB,
			MaxSockets:    10_000,
			QueueBytes:    16 * MiB,
			PingDelay:     2 * time.Second,
			PongTimeout:   5 * time.Second,
			HeaderTimeout: 10 * time.Second,
		},
		Probes: Probes{
			Linux: Linux{
				MetricInterval: 30 * time.Second,
				NetnsDirs:      []string{"/run/netns", "/run/docker/netns"},
				Processes:      true,
			},
			Sockets: Sockets{Interval: 5 * time.Second},
		},
		Log: Log{Level: "info", Format: "text"},
	}
}
