package s3store

import (
	"crypto/tls"
	"errors"
)

// isTrust says whether a TLS handshake failed over the server's certificate.
func isTrust(err error) bool {
	var verification *tls.CertificateVerificationError
	return errors.As(err, &verification)
}
