package authority

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/internal/certs"
)

// Options say where the keys are, and whose.
type Options struct {
	Dir       string // the folder ca of the data directory
	Cluster   string // its name
	ClusterID string
	Now       func() time.Time // nil: the machine's clock
}

// Authority signs for one cluster. Its methods may be called concurrently.
type Authority struct {
	cluster   string
	clusterID string
	now       func() time.Time
	key       crypto.Signer
	ca        *x509.Certificate
	roots     *x509.CertPool
	tokens    ed25519.PrivateKey
}

// Open reads the folder, and makes what it lacks.
func Open(o Options) (*Authority, error) { return open(o, true) }

// Load reads the folder as it is: for tools beside a control node.
func Load(o Options) (*Authority, error) { return open(o, false) }

func open(o Options, create bool) (*Authority, error) {
	a := &Authority{cluster: o.Cluster, clusterID: o.ClusterID, now: o.Now}
	if a.now == nil {
		a.now = time.Now
	}
	if err := (certs.Name{Kind: certs.Control, Cluster: o.Cluster, ID: "x"}).Check(); err != nil {
		return nil, err
	}
	f := folder{o.Dir}
	makeCA, makeTokens := newECDSA, newEd25519
	if create {
		var err error
		if f, err = openFolder(o.Dir); err != nil {
			return nil, err
		}
	} else {
		makeCA, makeTokens = nil, nil
	}
	var err error
	if a.key, err = f.key("ca.key", makeCA); err != nil {
		return nil, err
	}
	if a.ca, err = f.certificate(o.Cluster, a.key, a.now(), create); err != nil {
		return nil, err
	}
	tokens, err := f.key("token.key", makeTokens)
	if err != nil {
		return nil, err
	}
	var ok bool
	if a.tokens, ok = tokens.(ed25519.PrivateKey); !ok {
		return nil, f.damaged("token.key", fmt.Errorf("a %T is not an Ed25519 key", tokens))
	}
	a.roots = x509.NewCertPool()
	a.roots.AddCert(a.ca)
	return a, nil
}

// Certificate is the authority's own, DER.
func (a *Authority) Certificate() []byte { return a.ca.Raw }

// PEM is the authority's certificate as clients are given it.
func (a *Authority) PEM() []byte { return certificatePEM(a.ca.Raw) }

// Roots hold the authority alone.
func (a *Authority) Roots() *x509.CertPool { return a.roots }

// Pin is what clients know the authority by.
func (a *Authority) Pin() string { return Pin(a.ca.Raw) }

// Pin is the pin of a certificate, DER.
func Pin(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}
