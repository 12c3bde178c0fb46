package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/internal/units"
)

// The ways of --login. What they are is told in docs/login.md.
const (
	loginAuto = "auto"
	loginOpen = "open"
)

var loginWays = []string{loginAuto, loginOpen, identity.MethodSigV4, identity.MethodOIDC, identity.MethodMTLS}

// loginConfig is how a command finds the control plane, knows that it is the right one, and proves who it is itself.
type loginConfig struct {
	Addresses []string
	CA        string // PEM file
	Pin       string // sha256:…
	Plain     bool   // beyond loopback too
	Way       string // one of loginWays
	Cert, Key string // PEM files, for mtls

	sts string          // URL at which aws-oidc asks STS for tokens; empty: as the region and the environment say
	own identity.Source // who this is, where it is not for the environment to say; nil: it is
}

func defaultLogin() loginConfig {
	return loginConfig{Addresses: []string{defaultControl}, Way: loginAuto}
}

func (l *loginConfig) addFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&l.Addresses, "control", l.Addresses, "addresses of the control plane")
	f.StringVar(&l.CA, "control-ca", l.CA, "PEM file of the authority that signs for the control plane; it is then reached by TLS")
	f.StringVar(&l.Pin, "control-pin", l.Pin, "sha256:HEX of the control plane's certificate or its authority's, as the control plane prints it; it is then reached by TLS")
	f.BoolVar(&l.Plain, "control-insecure", l.Plain, "speak plain text to a control plane beyond loopback, which must allow it")
	f.StringVar(&l.Way, "login", l.Way, "how to prove who this is: "+strings.Join(loginWays, ", "))
	f.StringVar(&l.Cert, "login-cert", l.Cert, "PEM file of the certificate for --login mtls; read again at each login")
	f.StringVar(&l.Key, "login-key", l.Key, "PEM file of its key")
}

// check reports every fault of the options at once.
func (l *loginConfig) check() error {
	var faults []error
	if !slices.Contains(loginWays, l.Way) {
		fault := fmt.Errorf("--login %q: use one of %s", l.Way, strings.Join(loginWays, ", "))
		if near := units.Nearest(l.Way, loginWays); near != "" {
			fault = fmt.Errorf("%w (did you mean %q?)", fault, near)
		}
		faults = append(faults, fault)
	}
	if (l.Cert == "") != (l.Key == "") {
		faults = append(faults, errors.New("--login-cert and --login-key: both or neither"))
	}
	if l.Way == identity.MethodMTLS && l.Cert == "" {
		faults = append(faults, errors.New("--login mtls: name the certificate with --login-cert and --login-key"))
	}
	if l.CA != "" && l.Pin != "" {
		faults = append(faults, errors.New("--control-ca and --control-pin: one of them"))
	}
	if l.Plain && (l.CA != "" || l.Pin != "") {
		faults = append(faults, errors.New("--control-insecure with --control-ca or --control-pin: plain text knows neither"))
	}
	if l.Pin != "" {
		_, err := client.TLS(nil, l.Pin)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// secret says whether the control plane is reached by TLS: where something to know it by was named, or any of its
// addresses lies beyond this machine.
func (l *loginConfig) secret() (bool, error) {
	if l.CA != "" || l.Pin != "" || l.Cert != "" {
		return true, nil
	}
	for _, address := range l.Addresses {
		loopback, err := units.Loopback(address)
		if err != nil {
			return false, fmt.Errorf("--control: %w", err)
		}
		if !loopback {
			return !l.Plain, nil
		}
	}
	return false, nil
}

// client is the configuration of a client for whoever this is. An operator's has neither group nor agent.
func (l *loginConfig) client(group, agent string, has roles) (client.Config, error) {
	c := client.Default()
	c.Addrs = l.Addresses
	if err := errors.Join(l.check(), c.Validate()); err != nil {
		return c, usageError{err}
	}
	secret, err := l.secret()
	if err != nil {
		return c, usageError{err}
	}
	if secret {
		var authorities *x509.CertPool
		if l.CA != "" {
			if authorities, err = readAuthorities("--control-ca", l.CA); err != nil {
				return c, err
			}
		}
		if c.TLS, err = client.TLS(authorities, l.Pin); err != nil {
			return c, usageError{err}
		}
	}
	c.Auth = &client.Auth{Group: group, Agent: agent, Roles: has, Open: l.Way == loginAuto || l.Way == loginOpen}
	if l.Cert != "" {
		if _, err := tls.LoadX509KeyPair(l.Cert, l.Key); err != nil {
			return c, fmt.Errorf("read --login-cert %s and --login-key %s: %w", l.Cert, l.Key, err)
		}
		c.Auth.Certificate = func() *tls.Certificate {
			pair, err := tls.LoadX509KeyPair(l.Cert, l.Key)
			if err != nil {
				return nil // being replaced; the next login reads it again
			}
			return &pair
		}
	}
	c.Auth.Sources = l.sources()
	return c, nil
}

// sources are the ways to prove who this is, the best first. With auto they are all that this process has: the
// control plane says which it takes.
func (l *loginConfig) sources() []identity.Source {
	if l.Cert != "" && (l.Way == loginAuto || l.Way == identity.MethodMTLS) {
		return []identity.Source{identity.NewCertificate()}
	}
	var all []identity.Source
	if l.own != nil {
		return []identity.Source{l.own}
	}
	for _, method := range []string{identity.MethodOIDC, identity.MethodSigV4} {
		if l.Way == loginAuto || l.Way == method {
			all = append(all, &awsSource{method: method, sts: l.sts})
		}
	}
	return all
}

// awsSource proves who this is by its own account's credentials, which are looked for when a proof is first asked
// for: most who start need none. What is found is kept; what is not is looked for again.
type awsSource struct {
	method string
	sts    string // URL; empty: as the region and the environment say

	mu    sync.Mutex
	found identity.Source
}

// Method implements identity.Source.
func (s *awsSource) Method() string { return s.method }

// Proof implements identity.Source.
func (s *awsSource) Proof(ctx context.Context, c identity.Challenge) ([]byte, error) {
	source, err := s.source(ctx)
	if err != nil {
		return nil, err
	}
	return source.Proof(ctx, c)
}

func (s *awsSource) source(ctx context.Context) (identity.Source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found != nil {
		return s.found, nil
	}
	loaded, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the configuration of AWS: %w", err)
	}
	if s.method == identity.MethodOIDC {
		s.found = identity.NewOIDCSource(sts.NewFromConfig(loaded, func(o *sts.Options) {
			if s.sts != "" {
				o.BaseEndpoint = &s.sts
			}
		}))
	} else {
		s.found = identity.NewSigV4Source(loaded.Credentials, loaded.Region, time.Now)
	}
	return s.found, nil
}

// readAuthorities reads the certificates of a PEM file.
func readAuthorities(flag, path string) (*x509.CertPool, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", flag, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, usageError{fmt.Errorf("%s %s holds no certificate in PEM", flag, path)}
	}
	return pool, nil
}
