package pcapfile

import (
	"errors"
	"fmt"
)

// ErrFormat means that the bytes are no capture file at all.
var ErrFormat = errors.New("neither a pcap nor a pcapng file")

// DamageError says that a capture file could not be read to its end. All packets before Offset have been given.
type DamageError struct {
	Offset     int64  // of the first record that could not be read, in the file
	Compressed bool   // Offset counts in what the file decompresses to
	Cut        bool   // the file ends inside a record
	Skipped    uint64 // pcapng blocks that were left out while the rest was read; 0 when reading ended at Offset
	Text       string // what is wrong there
	Err        error  // of the decompression, or nil
}

func (e *DamageError) Error() string {
	where := "offset"
	if e.Compressed {
		where = "decompressed offset"
	}
	text := fmt.Sprintf("damaged at %s %d: %s", where, e.Offset, e.Text)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Skipped > 0 {
		text += fmt.Sprintf(" (blocks skipped: %d)", e.Skipped)
	}
	return text
}

func (e *DamageError) Unwrap() error { return e.Err }
