package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/control/authority"
	"github.com/isthmusdata/isthmus/control/raft"
	"github.com/isthmusdata/isthmus/control/server"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// admission is how a control node knows its callers, and they it.
type admission struct {
	TLSCert, TLSKey string   // PEM files; none: of the cluster's own authority
	ClientCAs       []string // DOMAIN=FILE
	STSRegions      []string // whose STS is asked who has signed; none: nobody logs in by aws-sigv4
	STSEndpoint     string   // URL at which all of them are reached; empty: at their own names
	Issuers         []string // URLs whose tokens are taken; none: nobody logs in by aws-oidc
	BoundTokens     bool     // tokens that could be used for another login are refused
	JWKS            []string // ISSUER=URL of keys that are not where the issuer's own configuration says
}

func (a *admission) addFlags(f *pflag.FlagSet) {
	f.StringVar(&a.TLSCert, "tls-cert", a.TLSCert, "PEM file of the listener's certificate, read again when it changes; none: one of the cluster's own authority")
	f.StringVar(&a.TLSKey, "tls-key", a.TLSKey, "PEM file of its key")
	a.addMethods(f)
	f.StringSliceVar(&a.ClientCAs, "client-ca", a.ClientCAs, "DOMAIN=FILE: the authority, in PEM, of certificates whose URI is spiffe://DOMAIN/..., which callers may log in by")
}

func (a *admission) addMethods(f *pflag.FlagSet) {
	f.StringSliceVar(&a.STSRegions, "sts-regions", a.STSRegions, "regions of AWS whose STS is asked who has signed a login by aws-sigv4")
	f.StringVar(&a.STSEndpoint, "sts-endpoint", a.STSEndpoint, "URL at which STS is reached, for closed networks; none: under its own names")
	f.StringSliceVar(&a.Issuers, "oidc-issuer", a.Issuers, "URL of an issuer whose tokens are taken for logins by aws-oidc: that of each account's outbound web identity federation")
	f.BoolVar(&a.BoundTokens, "oidc-bound", a.BoundTokens, "refuse tokens that do not carry the login's nonce and claim as tags: agents' roles then need sts:TagGetWebIdentityToken")
	f.StringSliceVar(&a.JWKS, "oidc-jwks", a.JWKS, "ISSUER=URL: where an issuer's keys are read, for closed networks; none: where its configuration says")
}

// methods are the ways in that the options name, beside certificates.
func (a *admission) methods(insecure bool, now func() time.Time) (all []identity.Authenticator, err error) {
	if len(a.STSRegions) > 0 {
		s, err := identity.NewSigV4(identity.SigV4Options{Regions: a.STSRegions, Endpoint: a.STSEndpoint, Insecure: insecure, Now: now})
		if err != nil {
			return nil, usageError{fmt.Errorf("logins by aws-sigv4: %w", err)}
		}
		all = append(all, s)
	}
	if len(a.Issuers) > 0 {
		o := identity.OIDCOptions{RequireBound: a.BoundTokens, Insecure: insecure, Now: now}
		for _, url := range a.Issuers {
			o.Issuers = append(o.Issuers, identity.Issuer{URL: url, JWKS: a.keysOf(url)})
		}
		v, err := identity.NewOIDC(o)
		if err != nil {
			return nil, usageError{fmt.Errorf("logins by aws-oidc: %w", err)}
		}
		all = append(all, v)
	}
	return all, nil
}

// keysOf is where an issuer's keys are read, if that was named. An issuer's URL may hold a =.
func (a *admission) keysOf(issuer string) string {
	for _, pair := range a.JWKS {
		if url, ok := strings.CutPrefix(pair, issuer+"="); ok {
			return url
		}
	}
	return ""
}

// check reports every fault of the options at once.
func (a *admission) check() error {
	var faults []error
	if (a.TLSCert == "") != (a.TLSKey == "") {
		faults = append(faults, errors.New("--tls-cert and --tls-key: both or neither"))
	}
	for _, pair := range a.ClientCAs {
		if domain, file, ok := strings.Cut(pair, "="); !ok || domain == "" || file == "" || domain != strings.ToLower(domain) {
			faults = append(faults, fmt.Errorf("--client-ca %q: write DOMAIN=FILE, the domain in lower case", pair))
		}
	}
	if a.STSEndpoint != "" && len(a.STSRegions) == 0 {
		faults = append(faults, errors.New("--sts-endpoint without --sts-regions: name the regions that agents sign for"))
	}
	if a.BoundTokens && len(a.Issuers) == 0 {
		faults = append(faults, errors.New("--oidc-bound without --oidc-issuer: name the issuers whose tokens are taken"))
	}
	for _, pair := range a.JWKS {
		if !slices.ContainsFunc(a.Issuers, func(issuer string) bool { return strings.HasPrefix(pair, issuer+"=") }) {
			faults = append(faults, fmt.Errorf("--oidc-jwks %q: write ISSUER=URL, with an issuer of --oidc-issuer", pair))
		}
	}
	return errors.Join(faults...)
}

// into gives a node what the options name.
func (a *admission) into(d *server.Deps, insecure bool, log *slog.Logger) (err error) {
	if d.Authenticators, err = a.methods(insecure, d.Wall); err != nil {
		return err
	}
	if a.TLSCert != "" {
		c, err := wire.LoadCertificate(a.TLSCert, a.TLSKey, log)
		if err != nil {
			return err
		}
		get := c.Config().GetCertificate
		d.Certificate = func() (*tls.Certificate, error) { return get(nil) }
	}
	d.TrustDomains = map[string]*x509.CertPool{}
	for _, pair := range a.ClientCAs {
		domain, file, _ := strings.Cut(pair, "=")
		pool, err := readAuthorities("--client-ca", file)
		if err != nil {
			return err
		}
		d.TrustDomains[domain] = pool
	}
	return nil
}

func newControlAdminCert() *cobra.Command {
	var dir, out, name string
	life := 30 * 24 * time.Hour
	cmd := &cobra.Command{
		Use:   "admin-cert",
		Short: "Make an operator's certificate, on the control node's own machine",
		Long: `admin-cert signs a certificate with the authority in the data directory. Whoever has it is an
operator, before and after the first binding, until it expires: keep its key as you keep the data
directory. The control plane may be running. Three files are written to --out: admin.crt, admin.key
and ca.crt, the authority to know the control plane by.`,
		Example: "  isthmus control admin-cert --data-dir ./control --out ./admin\n" +
			"  isthmus topic list --control control.example:7400 --control-ca ./admin/ca.crt --login-cert ./admin/admin.crt --login-key ./admin/admin.key",
	}
	cmd.Flags().StringVar(&dir, "data-dir", "", "data directory of the control node")
	cmd.Flags().StringVar(&out, "out", "", "folder for the files; it is made")
	cmd.Flags().StringVar(&name, "name", "admin", "the operator's name, as the audit tells it")
	cmd.Flags().DurationVar(&life, "life", life, "how long it holds")
	cmd.RunE = configured(func(cmd *cobra.Command) error {
		if dir == "" || out == "" {
			return usageError{errors.New("--data-dir and --out: name both (try: isthmus control admin-cert --help)")}
		}
		pin, err := writeAdmin(dir, out, name, life)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "wrote %s, admin.key and ca.crt; the certificate holds until %s\nthe control plane's pin is %s\n",
			filepath.Join(out, "admin.crt"), time.Now().Add(life).UTC().Format(time.RFC3339), pin)
		return nil
	})
	return cmd
}

// writeAdmin writes an operator's certificate, its key, and the authority.
func writeAdmin(dir, out, name string, life time.Duration) (pin string, err error) {
	id, err := raft.ReadIdentity(dir)
	if err != nil {
		return "", fmt.Errorf("%w (name the data directory of a control plane that has been started once)", err)
	}
	a, err := authority.Load(authority.Options{Dir: server.AuthorityDir(dir), Cluster: id.Cluster, ClusterID: id.ClusterID})
	if err != nil {
		return "", fmt.Errorf("%w (the control plane makes it at its first start)", err)
	}
	certificate, key, err := a.Admin(name, life)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of --out: %w", err)
	}
	for file, content := range map[string][]byte{"admin.crt": certificate, "admin.key": key, "ca.crt": a.PEM()} {
		if err := os.WriteFile(filepath.Join(out, file), content, 0o600); err != nil {
			return "", fmt.Errorf("write the certificate: %w", err)
		}
	}
	return a.Pin(), nil
}
