package bus

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// ErrTooLarge says that NATS does not take a message of this length. Sending it again does not help.
var ErrTooLarge = errors.New("message too large for the bus")

// roomMargin is what is left free of NATS's max_payload, which counts headers too.
const roomMargin = 1 << 10

// most is how long a message may be, 0 before the first connection. It is the server's max_payload and may be another
// after the next connection.
func (c *Conn) most() int {
	if most := int(c.nc.MaxPayload()); most > 0 {
		return max(most-roomMargin, most/2)
	}
	return 0
}

// refused tells what kept the library from sending a message of so many bytes.
func (c *Conn) refused(bytes int, err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w: it has %d bytes, and NATS takes %d: raise its max_payload", ErrTooLarge, bytes, c.nc.MaxPayload())
	}
	return fmt.Errorf("%w: %w", ErrDisconnected, err)
}
