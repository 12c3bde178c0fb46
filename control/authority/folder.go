package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// maxFile bounds what is read of a file: keys and certificates are far smaller.
const maxFile = 64 << 10

// authorityLife is how long the authority's certificate holds. Replacing it means telling every agent a new pin.
const authorityLife = 10 * 365 * 24 * time.Hour

// folder is the place of the keys.
type folder struct{ path string }

// authorityBefore is how long before its making the certificate holds: clocks may be wrong on that day.
const authorityBefore = 30 * 24 * time.Hour

// openFolder makes what is missing. Each file is there as a whole or not at all, and the certificate can be made
// again from the key: a crash in between costs nothing.
func openFolder(path string) (folder, error) {
	f := folder{path}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return f, fmt.Errorf("make the folder of the cluster's authority: %w", err)
	}
	return f, nil
}

// key reads a private key, or makes it.
func (f folder) key(name string, draw func() (crypto.Signer, error)) (crypto.Signer, error) {
	raw, err := f.read(name, true)
	if errors.Is(err, fs.ErrNotExist) && draw != nil {
		return f.newKey(name, draw)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, f.damaged(name, errors.New("it holds no PEM"))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, f.damaged(name, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, f.damaged(name, fmt.Errorf("a %T cannot sign", key))
	}
	return signer, nil
}

func (f folder) newKey(name string, draw func() (crypto.Signer, error)) (crypto.Signer, error) {
	key, err := draw()
	if err != nil {
		return nil, fmt.Errorf("draw %s: %w", name, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return key, f.write(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// certificate reads the authority's certificate, or signs it with its key.
func (f folder) certificate(cluster string, key crypto.Signer, now time.Time, create bool) (*x509.Certificate, error) {
	const name = "ca.crt"
	raw, err := f.read(name, false)
	if errors.Is(err, fs.ErrNotExist) && create {
		return f.newCertificate(cluster, key, now)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, f.damaged(name, errors.New("it holds no certificate"))
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, f.damaged(name, err)
	}
	if public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(key.Public()) {
		return nil, f.damaged(name, errors.New("ca.key is not its key"))
	}
	if !c.IsCA {
		return nil, f.damaged(name, errors.New("it is no authority's certificate"))
	}
	return c, nil
}

func (f folder) newCertificate(cluster string, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: "isthmus cluster " + cluster},
		NotBefore: now.Add(-authorityBefore), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority's certificate: %w", err)
	}
	if err := f.write("ca.crt", certificatePEM(der)); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (f folder) damaged(name string, err error) error {
	return fmt.Errorf("%s: %w (restore the folder from a copy; a new authority means a new pin for every agent)", filepath.Join(f.path, name), err)
}

func (f folder) read(name string, secret bool) ([]byte, error) {
	path := filepath.Join(f.path, name)
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open a file of the cluster's authority: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	if mode := info.Mode().Perm(); secret && mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): it is a key of the whole cluster; chmod 600 %s", path, mode, path)
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return raw, nil
}

// write makes a file that is there as a whole, and durable, or not at all.
func (f folder) write(name string, content []byte) error {
	path := filepath.Join(f.path, name)
	file, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write a file of the cluster's authority: %w", err)
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	dir, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("sync %s: %w", f.path, err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", f.path, err)
	}
	return nil
}

func newECDSA() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func newEd25519() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
