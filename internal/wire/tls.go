package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// Certificate is a certificate and its key in files, read again when either changes, so that a
// renewal needs no restart. While the files do not fit each other, or cannot be read, the last pair
// that did is served.
type Certificate struct {
	certFile, keyFile string
	log               *RateLog

	mu      sync.Mutex
	stamps  [2]stamp
	current *tls.Certificate
}

// stamp is what changes with a file's content.
type stamp struct {
	modified time.Time
	size     int64
}

// LoadCertificate reads the files once, so that a wrong path is known at the start.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: NewRateLog(log, time.Minute)}
	stamps, err := c.stat()
	if err != nil {
		return nil, err
	}
	return c, c.load(stamps)
}

// Config is a server's TLS configuration with this certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.get(), nil
		},
	}
}

// get looks at the files at every handshake, which costs two stats beside a signature.
func (c *Certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamps, err := c.stat()
	if err == nil && stamps != c.stamps {
		err = c.load(stamps)
	}
	if err != nil {
		c.log.Warn("reload", "certificate not reloaded, the last good one is served", "error", err)
	}
	return c.current
}

func (c *Certificate) load(stamps [2]stamp) error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("load certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current, c.stamps = &pair, stamps
	return nil
}

func (c *Certificate) stat() (stamps [2]stamp, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, e := os.Stat(name)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("read certificate files: %w", e))
			continue
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, err
}

// Listen opens a TCP listener, under TLS if cert is not nil.
func Listen(addr string, cert *Certificate) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for kafka clients: %w", err)
	}
	if cert != nil {
		return tls.NewListener(ln, cert.Config()), nil
	}
	return ln, nil
}
