package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
)

// write makes a capture file (pcap, microseconds) of a traffic and returns its path and number of packets. It is written
// once and read by every program, so that all find it in memory.
func (t traffic) write(dir string, flows, packets int) (path string, count int, err error) {
	path = filepath.Join(dir, t.name+".pcap")
	file, err := os.Create(path)
	if err != nil {
		return "", 0, err
	}
	out := bufio.NewWriterSize(file, 1<<20)
	header := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	header = binary.LittleEndian.AppendUint16(header, 2)
	header = binary.LittleEndian.AppendUint16(header, 4)
	header = append(header, make([]byte, 8)...)
	header = binary.LittleEndian.AppendUint32(header, 65535)
	header = binary.LittleEndian.AppendUint32(header, 1) // Ethernet
	_, err = out.Write(header)
	record := make([]byte, 16)
	t.generator(flows, packets).Stream(func(ts int64, data []byte, wire int) {
		put := binary.LittleEndian.PutUint32
		put(record, uint32(ts/1e9))          //nolint:gosec // seconds, before 2106
		put(record[4:], uint32(ts%1e9/1000)) //nolint:gosec // microseconds
		put(record[8:], uint32(len(data)))   //nolint:gosec // at most 96
		put(record[12:], uint32(wire))       //nolint:gosec // at most 1,600
		_, err1 := out.Write(record)
		_, err2 := out.Write(data)
		if err == nil {
			err = errors.Join(err1, err2)
		}
		count++
	})
	return path, count, errors.Join(err, out.Flush(), file.Close())
}
