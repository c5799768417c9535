package pcapfile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-net/weft/flow/pcapfile"
)

// BenchmarkReader reads a file of 2 million packets of which 96 bytes are kept, and looks at a byte of each.
func BenchmarkReader(b *testing.B) {
	const packets = 2_000_000
	path := filepath.Join(b.TempDir(), "bench.pcap")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	record := pcapOf{little, 0xa1b23c4d, 1, 0}.file(seen{1, 0, 570, strings.Repeat("x", 96)})
	head, record := record[:24], record[24:]
	if _, err := f.Write(head); err != nil {
		b.Fatal(err)
	}
	for range 100 {
		if _, err := f.WriteString(strings.Repeat(string(record), packets/100)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			b.Fatal(err)
		}
		r, err := pcapfile.Open(f)
		if err != nil {
			b.Fatal(err)
		}
		n, sum := 0, 0
		for {
			_, batch, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			for i := range batch {
				sum += int(batch[i].Data[12])
			}
			n += len(batch)
		}
		if n != packets {
			b.Fatal(n, sum)
		}
	}
	b.ReportMetric(packets*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpackets/s")
}
