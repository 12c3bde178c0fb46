package agentgroup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
)

// MaxMeta bounds the encoded meta of a member, in bytes: memberlist carries no more than 512.
const MaxMeta = 500

const (
	metaVersion = 1
	metaSettled = 1 << 0
	metaCut     = 1 << 1
	maxRoles    = 16
	maxText     = 255
)

var errMeta = errors.New("invalid member meta")

// appendMeta encodes what a member gossips about itself; name and gossip address travel outside.
//
//	version  1 byte
//	flags    1 byte    bit 0: settled, bit 1: cut off from the control plane or a bucket
//	node id  uvarint
//	session  uvarint
//	port     uvarint   Kafka
//	host, peer, zone   uvarint length and bytes each
//	roles    uvarint   how many, then length and bytes each
//
// A later version may append fields; readers ignore what follows the roles.
func appendMeta(dst []byte, m Member) []byte {
	flags := byte(0)
	if m.Settled {
		flags |= metaSettled
	}
	if m.Cut {
		flags |= metaCut
	}
	dst = append(dst, metaVersion, flags)
	dst = binary.AppendUvarint(dst, uint64(uint32(m.NodeID)))
	dst = binary.AppendUvarint(dst, m.Session)
	dst = binary.AppendUvarint(dst, uint64(uint32(m.Port)))
	for _, s := range []string{m.Host, m.Peer, m.Zone} {
		dst = appendText(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Roles)))
	for _, r := range m.Roles {
		dst = appendText(dst, r)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// checkSelf reports whether the member can be gossiped: it must survive its own encoding.
func checkSelf(m Member) error {
	b := appendMeta(nil, m)
	if len(b) > MaxMeta {
		return fmt.Errorf("gossip meta of %d bytes, at most %d: shorten the advertised addresses or the zone", len(b), MaxMeta)
	}
	if m.Agent == "" || len(m.Agent) > maxText {
		return fmt.Errorf("agent name of %d bytes, 1 to %d are allowed", len(m.Agent), maxText)
	}
	_, err := parseMeta(b)
	return err
}

// parseMeta decodes the meta of another member.
func parseMeta(b []byte) (Member, error) {
	if len(b) < 2 || len(b) > MaxMeta {
		return Member{}, fmt.Errorf("%w: %d bytes", errMeta, len(b))
	}
	if b[0] != metaVersion {
		return Member{}, fmt.Errorf("%w: version %d, this program reads %d", errMeta, b[0], metaVersion)
	}
	m := Member{Settled: b[1]&metaSettled != 0, Cut: b[1]&metaCut != 0}
	d := metaReader{b: b[2:]}
	node, session, port := d.number(), d.number(), d.number()
	m.Session = session
	m.Host, m.Peer, m.Zone = d.text(), d.text(), d.text()
	roles := d.number()
	if roles > maxRoles {
		d.bad = true
	}
	for i := uint64(0); i < roles && !d.bad; i++ {
		m.Roles = append(m.Roles, d.text())
	}
	if d.bad || node > math.MaxInt32 || port > math.MaxUint16 {
		return Member{}, fmt.Errorf("%w: node %d, port %d, %d bytes left", errMeta, node, port, len(d.b))
	}
	m.NodeID, m.Port = int32(node), int32(port)
	if m.Peer != "" {
		if _, _, err := net.SplitHostPort(m.Peer); err != nil {
			return Member{}, fmt.Errorf("%w: peer address: %w", errMeta, err)
		}
	}
	return m.normal(), nil
}

// metaReader reads numbers and texts; after the first fault it is bad and reads nothing.
type metaReader struct {
	b   []byte
	bad bool
}

func (d *metaReader) number() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// text reads a string of printable ASCII: names and addresses end up in logs and in Metadata.
func (d *metaReader) text() string {
	n := d.number()
	if n > uint64(len(d.b)) || n > maxText {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			d.bad = true
			return ""
		}
	}
	return s
}
