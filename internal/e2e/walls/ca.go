package walls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// CA issues the certificates of one run, and lies in a folder.
type CA struct {
	folder      string
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

// File is the PEM file of the certificate to trust.
func (c *CA) File() string { return filepath.Join(c.folder, "ca.pem") }

// Folder is where the files of its certificates are.
func (c *CA) Folder() string { return c.folder }

// NewCA makes one.
func NewCA(folder, name string) (*CA, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	c := &CA{folder: folder}
	var err error
	c.key, c.certificate, err = c.issue("ca", template)
	return c, err
}

// Server issues a certificate for an address, and names its files.
func (c *CA) Server(name string, address string) (certFile, keyFile string, err error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.ParseIP(address)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	_, _, err = c.issue(name, template)
	return filepath.Join(c.folder, name+".pem"), filepath.Join(c.folder, name+".key"), err
}

// Client issues a certificate for a URI, as an agent or an operator has one, and names its files.
func (c *CA) Client(name, uri string) (certFile, keyFile string, err error) {
	parsed, err := url.Parse(uri)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, URIs: []*url.URL{parsed}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	_, _, err = c.issue(name, template)
	return filepath.Join(c.folder, name+".pem"), filepath.Join(c.folder, name+".key"), err
}

// issue makes a key and a certificate for it, signed by the CA, or by itself when there is none yet.
func (c *CA) issue(name string, template *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100)); err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := c.certificate, c.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, fmt.Errorf("issue a certificate for %s: %w", name, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der},
		name + ".key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(c.folder, file), pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, nil, err
		}
	}
	certificate, err := x509.ParseCertificate(der)
	return key, certificate, err
}
