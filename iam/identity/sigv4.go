package identity

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	maxSkew     = 60 * time.Second // between the server's clock and the date of a proof
	stsTimeout  = 10 * time.Second
	stsParallel = 16
	maxReply    = 16 << 10
)

// SigV4Options are what a control plane is told about STS.
type SigV4Options struct {
	Regions  []string // whose STS may be asked, all of one partition; others are refused
	Endpoint string   // URL at which all of them are reached, for tests and closed networks; empty: at their own names
	Insecure bool     // Endpoint may be http beyond loopback: whoever is on the way can be anybody then
	Limits   CallLimits
	Now      func() time.Time
	// Transport carries calls; nil: one of its own.
	Transport http.RoundTripper
}

// SigV4 verifies proofs by aws-sigv4.
type SigV4 struct {
	regions   []string
	partition string
	endpoint  *url.URL // nil: as the region says
	client    *http.Client
	limits    *callLimiter
	used      *seen
	parallel  chan struct{}
	now       func() time.Time
}

// NewSigV4 says what is wrong with o, all at once.
func NewSigV4(o SigV4Options) (*SigV4, error) {
	s := &SigV4{regions: slices.Clone(o.Regions), limits: newCallLimiter(o.Limits), used: newSeen(seenCalls),
		parallel: make(chan struct{}, stsParallel), now: o.Now}
	var faults []error
	if len(o.Regions) == 0 {
		faults = append(faults, errors.New("no region whose STS may be asked: --sts-regions"))
	}
	for _, r := range o.Regions {
		if !validRegion(r) {
			faults = append(faults, fmt.Errorf("%.40q is not a region of AWS", r))
		}
		if s.partition == "" {
			s.partition = partitionOf(r)
		}
		if partitionOf(r) != s.partition {
			faults = append(faults, fmt.Errorf("regions of two partitions, %s and %s: accounts of one are unknown in the other", s.partition, partitionOf(r)))
		}
	}
	if o.Endpoint != "" {
		u, err := outsideURL(o.Endpoint, o.Insecure)
		if err != nil {
			faults = append(faults, fmt.Errorf("the endpoint of STS: %w", err))
		}
		s.endpoint = u
	}
	s.client = outsideClient(o.Transport)
	if s.now == nil {
		s.now = time.Now
	}
	return s, errors.Join(faults...)
}

func (s *SigV4) Method() string { return MethodSigV4 }

// Authenticate asks STS who signed. Everything that can be refused without asking is refused before.
func (s *SigV4) Authenticate(ctx context.Context, c Challenge, proof []byte, peer Peer) (Proven, error) {
	if err := c.check(); err != nil {
		return Proven{}, err
	}
	f, at, err := parseSigned(proof)
	if err != nil {
		return Proven{}, err
	}
	now := s.now()
	if !slices.Contains(s.regions, f.region) {
		return Proven{}, failf(ErrRefused, "set AWS_REGION of the agent to one of them, or add it to --sts-regions of the control plane",
			"the proof is for STS of %s; this control plane asks that of %s", f.region, strings.Join(s.regions, ", "))
	}
	if off := at.Sub(now); off.Abs() > maxSkew {
		return Proven{}, failf(ErrClock, "set the clocks of both by NTP", "the agent's clock is %s %s the control plane's; %s are borne",
			off.Abs().Round(time.Second), map[bool]string{true: "ahead of", false: "behind"}[off > 0], maxSkew)
	}
	if err := s.limits.allow(now, peer.Address, f.accessKey); err != nil {
		return Proven{}, err
	}
	if err := s.used.add(now, fmt.Sprintf("%x", sha256.Sum256([]byte(f.accessKey+f.signature))), at.Add(2*maxSkew)); err != nil {
		return Proven{}, err
	}
	select {
	case s.parallel <- struct{}{}:
		defer func() { <-s.parallel }()
	case <-ctx.Done():
		return Proven{}, causef(ErrUnavailable, ctx.Err(), "", "wait to ask STS")
	}
	return s.ask(ctx, c, f)
}

// ask makes the one call, and reads the answer as far as it may be believed.
func (s *SigV4) ask(ctx context.Context, c Challenge, f signed) (Proven, error) {
	ctx, cancel := context.WithTimeout(ctx, stsTimeout)
	defer cancel()
	base := s.endpoint
	if base == nil {
		base = &url.URL{Scheme: "https", Host: stsHost(f.region)}
	}
	r := call(ctx, base, c, f)
	r.Header.Set("Authorization", f.authorization()+f.signature)
	r.Header.Set("User-Agent", "isthmus")
	reply, err := s.client.Do(r)
	if err != nil {
		return Proven{}, causef(ErrUnavailable, err, "the control plane must reach STS by HTTPS: a NAT, a proxy, or an interface endpoint of STS", "ask STS of %s who signed", f.region)
	}
	defer reply.Body.Close()
	body, err := readBounded(reply.Body, maxReply)
	if err != nil {
		return Proven{}, causef(ErrUnavailable, err, "", "read the answer of STS of %s", f.region)
	}
	kind, _, err := mime.ParseMediaType(reply.Header.Get("Content-Type"))
	switch {
	case reply.StatusCode == http.StatusOK && (err != nil || kind != "text/xml"):
		return Proven{}, failf(ErrUnavailable, endpointHint, "STS of %s answered with content of type %.60q; it is text/xml", f.region, kind)
	case reply.StatusCode != http.StatusOK:
		return Proven{}, stsRefusal(f.region, reply.StatusCode, body)
	}
	said, err := parseReply(body)
	if err != nil {
		return Proven{}, causef(ErrUnavailable, err, endpointHint, "the answer of STS of %s", f.region)
	}
	return said.proven(s.partition)
}

const endpointHint = "look at --sts-endpoint: is it STS that answers there?"

// stsRefusal finds the class of an answer that is not 200. What the answer says is used to choose words, and for nothing else.
func stsRefusal(region string, status int, body []byte) error {
	code, clock := parseRefusal(body)
	what := fmt.Sprintf("STS of %s answered %d %s", region, status, code)
	switch {
	case status >= 300 && status < 400:
		return failf(ErrUnavailable, endpointHint, "%s; redirects are not followed", what)
	case status == http.StatusTooManyRequests || status >= 500 || strings.Contains(code, "Throttl") || code == "RequestLimitExceeded":
		return failf(ErrUnavailable, "", "%s", what)
	case clock:
		return failf(ErrClock, "set the clocks of both by NTP", "%s", what)
	case code == "SignatureDoesNotMatch":
		return failf(ErrRefused, "the agent must sign for this cluster's id and this login's nonce with the secret of its key", "%s", what)
	case strings.HasPrefix(code, "ExpiredToken"):
		return failf(ErrRefused, "the agent's credentials have expired: does it still get new ones?", "%s", what)
	case code == "InvalidClientTokenId":
		return failf(ErrRefused, "the agent's key or session is none that STS knows: deleted, revoked, or of another partition", "%s", what)
	case code == "RegionDisabledException":
		return failf(ErrRefused, "turn STS of this region on in the agent's account, or use another region", "%s", what)
	default:
		return failf(ErrRefused, "", "%s", what)
	}
}

// outsideClient follows no redirect and unpacks nothing.
func outsideClient(t http.RoundTripper) *http.Client {
	if t == nil {
		t = &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
			DisableCompression: true, MaxConnsPerHost: stsParallel, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: stsTimeout, ResponseHeaderTimeout: stsTimeout, MaxResponseHeaderBytes: maxReply,
		}
	}
	return &http.Client{Transport: t, Timeout: stsTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// outsideURL is one that an operator has configured: https, or http to this machine.
func outsideURL(s string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, err
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return nil, fmt.Errorf("%.140q is not https://HOST", s)
	case u.Scheme == "https", u.Scheme == "http" && (insecure || isLoopback(u.Hostname())):
		return u, nil
	default:
		return nil, fmt.Errorf("%.140q is not https, and its host is not this machine", s)
	}
}

func readBounded(r io.Reader, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(body)) > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	return body, err
}
