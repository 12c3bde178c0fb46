package segment

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// MaxName bounds the names of clusters, shares and groups, in bytes.
const MaxName = 63

// ErrKey is what every key is that Key would not have made.
var ErrKey = errors.New("not a segment key")

// CheckName reports why name cannot be the name of a cluster, share or group (what says
// which). It becomes a part of keys and of IAM policies, where *, ?, / and $ have meanings.
func CheckName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%s name is empty", what)
	}
	if len(name) > MaxName {
		return fmt.Errorf("%s name %.20q… has %d bytes, at most %d", what, name, len(name), MaxName)
	}
	if !alphanumeric(name[0]) {
		return fmt.Errorf("%s name %q does not begin with a letter or digit", what, name)
	}
	for i := range len(name) {
		if !safe(name[i]) {
			return fmt.Errorf("%s name %q: only letters, digits, '.', '_' and '-' are allowed", what, name)
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func safe(c byte) bool { return alphanumeric(c) || c == '.' || c == '_' || c == '-' }

// Key is where an object is stored:
//
//	<cluster>/data/<share>/<group>/<hash>/<incarnation>-<session>-<sequence>-<nonce>
//
// The hash is two hexadecimal digits over all that follows it. Object stores split their
// work by key prefix, and what follows the hash counts up, so that without it all writers of
// a group would meet in the newest prefix; 256 prefixes at 3,500 PUT/s each are more than a
// group can ask for, while listing a whole share still needs only a few folders. The nonce
// is under the hash, so that a hedge tends to another part of the store than its twin.
//
// A name that CheckName would refuse is escaped, so that it cannot leave its place; ParseKey
// knows no such key.
func Key(cluster string, o Object) string {
	return fmt.Sprintf("%s%02x/%s-%x", GroupPrefix(cluster, o.Share, o.Group), keyHash(o), o.ID, o.Nonce[:])
}

// SharePrefix is under what all objects of a share lie; a role that reads is bound to it.
func SharePrefix(cluster, share string) string {
	return escape(cluster) + "/data/" + escape(share) + "/"
}

// GroupPrefix is under what a group writes in a share; a role that writes is bound to it.
func GroupPrefix(cluster, share, group string) string {
	return SharePrefix(cluster, share) + escape(group) + "/"
}

// MetaKey is where the control plane keeps what it needs of the bucket: <cluster>/meta/<name>.
func MetaKey(cluster, name string) string { return escape(cluster) + "/meta/" + name }

func keyHash(o Object) byte {
	b := binary.BigEndian.AppendUint32(nil, o.ID.Incarnation)
	b = binary.BigEndian.AppendUint64(b, o.ID.Session)
	b = binary.BigEndian.AppendUint64(b, o.ID.Sequence)
	b = append(b, o.Nonce[:]...)
	return byte(crc32.Checksum(b, castagnoli))
}

func escape(name string) string {
	if CheckName("", name) == nil {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; alphanumeric(c) || i > 0 && safe(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() == 0 {
		return "%"
	}
	return b.String()
}

// ParseKey reads a key of the cluster. It accepts exactly what Key makes: one object has one
// key, so that a sweep that names an object by its key cannot mean another.
func ParseKey(cluster, key string) (Object, error) {
	const longest = 4*MaxName + 128
	if len(key) > longest {
		return Object{}, fmt.Errorf("%w: %d bytes", ErrKey, len(key))
	}
	refuse := func() (Object, error) { return Object{}, fmt.Errorf("%w: %q", ErrKey, key) }
	parts := strings.Split(key, "/")
	if len(parts) != 6 || parts[0] != cluster || parts[1] != "data" {
		return refuse()
	}
	fields := strings.Split(parts[5], "-")
	if len(fields) != 4 {
		return refuse()
	}
	o := Object{Share: parts[2], Group: parts[3]}
	incarnation, err1 := strconv.ParseUint(fields[0], 10, 32)
	session, err2 := strconv.ParseUint(fields[1], 10, 64)
	sequence, err3 := strconv.ParseUint(fields[2], 10, 64)
	nonce, err4 := hex.DecodeString(fields[3])
	if errors.Join(err1, err2, err3, err4) != nil || len(nonce) != len(o.Nonce) {
		return refuse()
	}
	o.ID = ID{Incarnation: uint32(incarnation), Session: session, Sequence: sequence}
	copy(o.Nonce[:], nonce)
	for _, name := range []string{cluster, o.Share, o.Group} {
		if CheckName("", name) != nil {
			return refuse()
		}
	}
	if Key(cluster, o) != key {
		return refuse()
	}
	return o, nil
}
