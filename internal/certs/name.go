package certs

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"net/url"
	"strings"
)

// Kind is what a certificate's owner is.
type Kind string

const (
	Agent   Kind = "agent"
	Control Kind = "control"
	Admin   Kind = "admin"
)

// Name says whom a certificate is for.
type Name struct {
	Kind    Kind
	Cluster string
	Group   string // of an agent
	ID      string // the agent, the control node, or the operator's name
}

// maxPart bounds each part of a name, in bytes.
const maxPart = 128

// Check says what is wrong with a name.
func (n Name) Check() error {
	parts := []struct{ what, value string }{{"cluster", n.Cluster}, {string(n.Kind), n.ID}}
	switch n.Kind {
	case Agent:
		parts = append(parts, struct{ what, value string }{"group", n.Group})
	case Control, Admin:
	default:
		return fmt.Errorf("a certificate for %q: it is for an agent, control or admin", n.Kind)
	}
	for _, p := range parts {
		if !lawful(p.value) {
			return fmt.Errorf("%s %.140q in the name of a certificate: 1 to %d letters, digits, dots, dashes and underscores", p.what, p.value, maxPart)
		}
	}
	return nil
}

func lawful(part string) bool {
	if part == "" || part == "." || part == ".." || len(part) > maxPart {
		return false
	}
	for i := range len(part) {
		c := part[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// String is the name as it stands in a certificate.
func (n Name) String() string {
	if n.Kind == Agent {
		return "spiffe://" + strings.ToLower(n.Cluster) + "/group/" + n.Group + "/agent/" + n.ID
	}
	return "spiffe://" + strings.ToLower(n.Cluster) + "/" + string(n.Kind) + "/" + n.ID
}

// URI is the name as x509 has it.
func (n Name) URI() *url.URL {
	u := &url.URL{Scheme: "spiffe", Host: strings.ToLower(n.Cluster)}
	if n.Kind == Agent {
		u.Path = "/group/" + n.Group + "/agent/" + n.ID
		return u
	}
	u.Path = "/" + string(n.Kind) + "/" + n.ID
	return u
}

// Parse reads a name. What is written in any other way than String writes it is refused.
func Parse(uri string) (Name, error) {
	rest, ok := strings.CutPrefix(uri, "spiffe://")
	parts := strings.Split(rest, "/")
	var n Name
	switch {
	case !ok || len(uri) > 4*maxPart:
	case len(parts) == 5 && parts[1] == "group" && parts[3] == "agent":
		n = Name{Kind: Agent, Cluster: parts[0], Group: parts[2], ID: parts[4]}
	case len(parts) == 3 && (parts[1] == string(Control) || parts[1] == string(Admin)):
		n = Name{Kind: Kind(parts[1]), Cluster: parts[0], ID: parts[2]}
	}
	if n.Kind == "" || n.Check() != nil || n.String() != uri {
		return Name{}, fmt.Errorf("%.140q is no name of this project's certificates (spiffe://CLUSTER/group/GROUP/agent/AGENT and the like)", uri)
	}
	return n, nil
}

// Of reads the name of a certificate, which has exactly one: with two, who looks at the other is misled.
func Of(c *x509.Certificate) (Name, error) {
	if c.IsCA {
		return Name{}, fmt.Errorf("the certificate %q is an authority's", c.Subject)
	}
	if len(c.URIs) != 1 {
		return Name{}, fmt.Errorf("the certificate %q has %d URIs, not one", c.Subject, len(c.URIs))
	}
	return Parse(c.URIs[0].String())
}

// serialRandom is how many bits of a serial number are random; the epoch stands above them.
const serialRandom = 80

// Serial is a serial number that carries an epoch. random has 10 bytes.
func Serial(epoch uint64, random [serialRandom / 8]byte) *big.Int {
	n := new(big.Int).Lsh(new(big.Int).SetUint64(epoch), serialRandom)
	random[0] |= 0x80 // a serial number is never 0
	return n.Or(n, new(big.Int).SetBytes(random[:]))
}

// Epoch reads the epoch of a certificate of this project's.
func Epoch(c *x509.Certificate) uint64 {
	return new(big.Int).Rsh(c.SerialNumber, serialRandom).Uint64()
}
