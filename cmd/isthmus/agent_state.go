package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/internal/certs"
)

// methodToken is the login by a join token.
const methodToken = "token"

// joinToken proves itself by being known. It is used up by that.
type joinToken string

// Method implements identity.Source.
func (joinToken) Method() string { return methodToken }

// Proof implements identity.Source.
func (t joinToken) Proof(context.Context, identity.Challenge) ([]byte, error) { return []byte(t), nil }

// keptIdentity is what an agent that has joined by a token lives by from then on: its certificate and key, in one file
// of --state, so that both are there or neither. Without --state they live as long as the process.
type keptIdentity struct{ path string }

// stateFile is the file's name. The agent's own name stands in the certificate.
const stateFile = "identity.pem"

// read takes the credentials up. none says that there are none yet.
func (c keptIdentity) read() (certified client.Certified, name certs.Name, none bool, err error) {
	raw, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return certified, name, true, nil
	}
	if err != nil {
		return certified, name, false, fmt.Errorf("read the agent's --state: %w", err)
	}
	pair, err := tls.X509KeyPair(raw, raw)
	if err == nil && len(pair.Certificate) != 2 {
		err = fmt.Errorf("%d certificates: it has the agent's and its authority's", len(pair.Certificate))
	}
	if err == nil {
		name, err = certs.Of(pair.Leaf)
	}
	if err != nil {
		return certified, name, false, fmt.Errorf("read %s: %w (remove it and join by a new token)", c.path, err)
	}
	return client.Certified{Certificate: pair, Authority: pair.Certificate[1], Epoch: certs.Epoch(pair.Leaf)}, name, false, nil
}

// write replaces the credentials, as a whole.
func (c keptIdentity) write(certified client.Certified) error {
	key, err := x509.MarshalPKCS8PrivateKey(certified.Certificate.PrivateKey)
	if err != nil {
		return fmt.Errorf("encode the agent's key: %w", err)
	}
	raw := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for _, der := range certified.Certificate.Certificate {
		raw = append(raw, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	file, err := os.OpenFile(c.path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the agent's --state: %w", err)
	}
	if _, err = file.Write(raw); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(c.path+".tmp", c.path)
	}
	if err != nil {
		return fmt.Errorf("write the agent's --state: %w", err)
	}
	return nil
}

// takeUp reads what an earlier life of the agent has left in --state, which gives it its name.
func (a *agent) takeUp() error {
	if a.config.State == "" {
		return nil
	}
	if err := os.MkdirAll(a.config.State, 0o700); err != nil {
		return fmt.Errorf("make the folder of --state: %w", err)
	}
	a.kept = &keptIdentity{filepath.Join(a.config.State, stateFile)}
	certified, name, none, err := a.kept.read()
	switch {
	case err != nil:
		return err
	case none && a.config.Join == "":
		return usageError{fmt.Errorf("--state %s holds no identity yet: join once with --join TOKEN", a.config.State)}
	case none:
		return nil
	case name.Group != a.config.Group:
		return usageError{fmt.Errorf("--state %s is of an agent of group %s, and --group is %s", a.config.State, name.Group, a.config.Group)}
	}
	if err := a.certificate.Set(certified.Certificate, certified.Authority); err != nil {
		return fmt.Errorf("take up the identity in --state %s: %w", a.config.State, err)
	}
	a.name = name.ID
	a.keys.certified.Store(certified.Epoch)
	return nil
}

// joins says whether the agent proves itself by a join token, or by what it got for one.
func (c *agentConfig) joins() bool { return c.Join != "" || c.State != "" }
