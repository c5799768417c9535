package flow

// Applications names flows by their ports.
type Applications struct {
	names map[uint32]string // protocol<<16 | port
}
