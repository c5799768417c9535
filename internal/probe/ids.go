package probe

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
)

// namespaceOID is the UUID namespace for object identifiers of RFC 9562, section 6.6.
var namespaceOID = [16]byte{
	0x6b, 0xa7, 0xb8, 0x12, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
}

// GenID makes an element's id out of what the element is: the UUIDv5 in the OID
// namespace of the parts joined with "/", which is Skydive's recipe.
func GenID(parts ...string) string { return uuid5(strings.Join(parts, "/")) }

// TID makes a topology id: the UUIDv5 in the OID namespace of the parts without a
// separator. Skydive's recipes are TID(Name) of a host, TID(hostTID, Path, "netns") of a
// namespace, TID(parentTID, Name, Type) of a link below its owner.
func TID(parts ...string) string { return uuid5(strings.Join(parts, "")) }

func uuid5(name string) string {
	h := sha1.New() //nolint:gosec // RFC 9562 prescribes it; nothing is secured with it
	h.Write(namespaceOID[:])
	h.Write([]byte(name))
	u := h.Sum(nil)[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], u[0:4])
	hex.Encode(out[9:13], u[4:6])
	hex.Encode(out[14:18], u[6:8])
	hex.Encode(out[19:23], u[8:10])
	hex.Encode(out[24:36], u[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}
