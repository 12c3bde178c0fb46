package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"

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

// ErrStranger: what answers is not the control plane that was named.
var ErrStranger = errors.New("this is not the control plane that was named")

// recognition remembers why the control plane was last not recognised: gRPC passes that on as text alone.
type recognition struct {
	credentials.TransportCredentials
	shown *strangers
}

type strangers struct{ err atomic.Pointer[error] }

func (s *strangers) last() error {
	if err := s.err.Load(); err != nil {
		return *err
	}
	return nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (r *recognition) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secret, info, err := r.TransportCredentials.ClientHandshake(ctx, authority, conn)
	var unverified *tls.CertificateVerificationError
	switch {
	case err == nil:
		r.shown.err.Store(nil)
	case errors.As(err, &unverified):
		err = fmt.Errorf("%w: %w (name its authority with --control-ca, or its pin with --control-pin)", ErrStranger, unverified.Err)
		r.shown.err.Store(&err)
	case errors.Is(err, errPin):
		err = fmt.Errorf("%w: %w", ErrStranger, err)
		r.shown.err.Store(&err)
	}
	return secret, info, err
}

// Clone implements credentials.TransportCredentials.
func (r *recognition) Clone() credentials.TransportCredentials {
	return &recognition{r.TransportCredentials.Clone(), r.shown}
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
		return fmt.Errorf("%w: its certificate: %w", errPin, err)
	}
	if name, err := certs.Of(leaf); err == nil && name.Kind == certs.Control {
		return nil
	}
	if err := leaf.VerifyHostname(s.ServerName); err != nil {
		return fmt.Errorf("%w: %w", errPin, err)
	}
	return nil
}
