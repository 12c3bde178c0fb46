package identity

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"
)

// The methods, as they are named on the wire and in bindings.
const (
	MethodSigV4 = "aws-sigv4"
	MethodOIDC  = "aws-oidc"
	MethodMTLS  = "mtls"
)

// Challenge is what a proof is bound to. Both sides make it of what they know themselves; it is
// not sent along with a proof.
type Challenge struct {
	Server string // the cluster's id, 1 to 128 characters of [A-Za-z0-9._-]
	Nonce  []byte // drawn by the server for one proof, 16 to 128 bytes
	Claim  Claim
}

// Claim is what an agent asks to be let in as.
type Claim struct {
	Group string // empty: an operator
	Agent string
	Roles []string // in any order
	CSR   []byte   // the request of a certificate that goes with it; empty: none
}

// Digest is one number for the whole claim: what differs in any part has another.
func (c Claim) Digest() [sha256.Size]byte {
	h := sha256.New()
	part := func(s string) { // its length first, so that nothing moves from one part to the next
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	part("isthmus login claim 1")
	part(c.Group)
	part(c.Agent)
	roles := slices.Clone(c.Roles)
	slices.Sort(roles)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(roles))))
	for _, r := range roles {
		part(r)
	}
	part(string(c.CSR))
	return [sha256.Size]byte(h.Sum(nil))
}

// check is what must hold of a challenge before anything is bound to it. A fault is the caller's.
func (c Challenge) check() error {
	if !only(c.Server, 1, 128, nameChars) {
		return failf(ErrMalformed, "", "the server's name %.140q in a challenge is not 1 to 128 characters of [A-Za-z0-9._-]", c.Server)
	}
	if len(c.Nonce) < 16 || len(c.Nonce) > 128 {
		return failf(ErrMalformed, "", "a nonce of %d bytes in a challenge; it has 16 to 128", len(c.Nonce))
	}
	return nil
}

func (c Challenge) nonce() string { return hex.EncodeToString(c.Nonce) }

func (c Challenge) claim() string {
	d := c.Claim.Digest()
	return hex.EncodeToString(d[:])
}

// Peer is the other end of the connection on which a proof came.
type Peer struct {
	// Address is what calls are counted by: host, or host:port, of the source.
	Address string
	// Certificates are what the peer has shown in the TLS handshake, its own first. That it has the key is
	// proven by the handshake; who has signed them is verified here.
	Certificates []*x509.Certificate
}

// Source makes proofs, on the agent's side.
type Source interface {
	Method() string
	Proof(ctx context.Context, c Challenge) ([]byte, error)
}

// Authenticator verifies proofs of one method, on the server's side. Its errors are *Error.
type Authenticator interface {
	Method() string
	Authenticate(ctx context.Context, c Challenge, proof []byte, peer Peer) (Proven, error)
}

// Proven is an identity that was verified. What a method does not know is empty.
type Proven struct {
	Method   string
	ARN      string    // aws-sigv4: arn:aws:iam::ACCOUNT:role/NAME or :user/NAME, without path or session
	UniqueID string    // aws-sigv4: AROA… or AIDA…; another if the role is deleted and made again
	Account  string    // 12 digits, of the methods of AWS
	Issuer   string    // aws-oidc: as configured
	Subject  string    // aws-oidc: of AWS the ARN of the role, path included
	URI      string    // mtls: spiffe://DOMAIN/PATH
	Bound    bool      // to the nonce and the claim of the challenge, and not to the server alone
	Expires  time.Time // of the token or certificate; zero: the proof says nothing of it
}

// Name is the identity as people read it, and as it stands in an audit.
func (p Proven) Name() string {
	switch p.Method {
	case MethodSigV4:
		return p.ARN
	case MethodOIDC:
		return p.Subject
	default:
		return p.URI
	}
}

const (
	digits    = "0123456789"
	letters   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	nameChars = letters + digits + "._-"
)
