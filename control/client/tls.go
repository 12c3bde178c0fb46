package client

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/internal/certs"
)

// TLS is how a client knows the control plane: by its name and an authority, or by a pin.
//
// A pin is the hash of a certificate that the control plane shows: its own, or that of the authority behind it. An
// authority that was pinned vouches for nothing but control planes and names: its agents' certificates are not taken.
func TLS(authorities *x509.CertPool, pin string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities} // none: those of the machine
	if pin == "" {
		return c, nil
	}
	want, err := parsePin(pin)
	if err != nil {
		return nil, err
	}
	c.InsecureSkipVerify = true // VerifyConnection does it
	c.VerifyConnection = func(s tls.ConnectionState) error { return pinned(s, want, time.Now()) }
	return c, nil
}

const pinPrefix = "sha256:"

func parsePin(pin string) (sum [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(pin, pinPrefix))
	if err != nil || len(raw) != len(sum) || !strings.HasPrefix(pin, pinPrefix) {
		return sum, fmt.Errorf("pin %.100q: write sha256: and 64 hexadecimal digits, as the control plane prints it", pin)
	}
	return [sha256.Size]byte(raw), nil
}

var errPin = errors.New("the control plane shows another certificate than the pinned one: it is another one, or its data directory was lost, or somebody stands in between")

func pinned(s tls.ConnectionState, want [sha256.Size]byte, now time.Time) error {
	at := slices.IndexFunc(s.PeerCertificates, func(c *x509.Certificate) bool { return sha256.Sum256(c.Raw) == want })
	switch {
	case at < 0:
		return errPin
	case at == 0:
		return nil // nobody else has its key
	}
	leaf, roots, between := s.PeerCertificates[0], x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(s.PeerCertificates[at])
	for _, c := range s.PeerCertificates[1:at] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now}); err != nil { // of a server
		return fmt.Errorf("the control plane's certificate: %w", err)
	}
	if name, err := certs.Of(leaf); err == nil && name.Kind == certs.Control {
		return nil
	}
	return leaf.VerifyHostname(s.ServerName)
}
