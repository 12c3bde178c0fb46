package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	maxJWKS      = 256 << 10
	maxKeys      = 64
	keysFresh    = time.Hour        // after which they are asked for again
	keysValid    = 24 * time.Hour   // for which they are used when the issuer does not answer
	keysInterval = 15 * time.Second // between two questions, whatever tokens name
)

// keys are an issuer's, kept so that its being away stops nobody. A key that is not among them is asked for, but
// seldom: otherwise whoever invents names of keys has us ask.
type keys struct {
	client   *http.Client
	issuer   string
	jwks     string // empty: to be found
	insecure bool

	mu     sync.Mutex
	set    []jose.JSONWebKey
	got    time.Time
	asked  time.Time
	asking chan struct{} // closed when the question under way is answered; nil: there is none
	fault  error         // of the last question
}

// find gives the one key of that name which can have made a signature of that kind. A key that is known waits for nobody.
func (k *keys) find(ctx context.Context, now time.Time, kid string, algorithm jose.SignatureAlgorithm) (any, error) {
	key, asking, asked := k.look(now, kid, algorithm)
	if key != nil {
		return key, nil
	}
	if asking != nil {
		select {
		case <-asking:
		case <-ctx.Done():
			return nil, causef(ErrUnavailable, ctx.Err(), "", "wait for the keys of %s", k.issuer)
		}
		if key, _, _ = k.look(now, kid, algorithm); key != nil {
			return key, nil
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.fault != nil:
		return nil, causef(ErrUnavailable, k.fault, "the control plane must reach the issuer by HTTPS", "the keys of %s", k.issuer)
	case !asked:
		return nil, failf(ErrUnavailable, "log in again in a minute", "%s has had no key %.60q that signs with %s, and was asked moments ago", k.issuer, kid, algorithm)
	default:
		return nil, failf(ErrRefused, "", "%s has no key %.60q that signs with %s", k.issuer, kid, algorithm)
	}
}

// look gives the key if it is known, and sees to it that the issuer is asked when that is due. asked says that a question
// is under way that began now.
func (k *keys) look(now time.Time, kid string, algorithm jose.SignatureAlgorithm) (key any, asking chan struct{}, asked bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := now.Sub(k.got).Abs()
	if !k.got.IsZero() && age < keysValid {
		key = k.named(kid, algorithm)
	}
	due := k.asked.IsZero() || now.Sub(k.asked).Abs() >= keysInterval
	if k.asking == nil && due && (key == nil || age >= keysFresh) {
		k.asked, k.asking, asked = now, make(chan struct{}), true
		go k.refresh(now, k.asking)
	}
	return key, k.asking, asked
}

// named finds a key that fits; two of one name fit nobody.
func (k *keys) named(kid string, algorithm jose.SignatureAlgorithm) any {
	var found any
	for _, key := range k.set {
		if key.KeyID != kid || !fits(key, algorithm) {
			continue
		}
		if found != nil {
			return nil
		}
		found = key.Key
	}
	return found
}

func fits(key jose.JSONWebKey, algorithm jose.SignatureAlgorithm) bool {
	if key.Algorithm != "" && key.Algorithm != string(algorithm) || key.Use != "" && key.Use != "sig" {
		return false
	}
	switch pub := key.Key.(type) {
	case *ecdsa.PublicKey:
		return algorithm == jose.ES384 && pub.Curve == elliptic.P384()
	case *rsa.PublicKey:
		return algorithm == jose.RS256 && pub.Size() >= 256
	default:
		return false
	}
}

// refresh asks, whoever of those that wait for it hangs up.
func (k *keys) refresh(now time.Time, done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), stsTimeout)
	defer cancel()
	set, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fault = err; err == nil {
		k.set, k.got = set, now
	}
	k.asking = nil
	close(done)
}

func (k *keys) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	from := k.jwks
	if from == "" {
		var configuration struct {
			Issuer string `json:"issuer"`
			JWKS   string `json:"jwks_uri"`
		}
		body, err := k.get(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration")
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(body, &configuration); err != nil {
			return nil, fmt.Errorf("its configuration: %w", err)
		}
		if configuration.Issuer != k.issuer {
			return nil, fmt.Errorf("its configuration is that of %.200q", configuration.Issuer)
		}
		if _, err := outsideURL(configuration.JWKS, k.insecure); err != nil {
			return nil, fmt.Errorf("the place of its keys: %w", err)
		}
		from = configuration.JWKS
	}
	body, err := k.get(ctx, from)
	if err != nil {
		return nil, err
	}
	return parseJWKS(body)
}

func (k *keys) get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "isthmus")
	reply, err := k.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d; redirects are not followed", url, reply.StatusCode)
	}
	body, err := readBounded(reply.Body, maxJWKS)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return body, nil
}

// parseJWKS leaves out keys of kinds that are not used here, and takes public ones only.
func parseJWKS(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("its keys: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("it has %d keys; %d are taken at most", len(set.Keys), maxKeys)
	}
	var public []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(raw); err != nil || !key.Valid() || !key.IsPublic() {
			continue // one of a kind to come, or no key: tokens by it are refused by name
		}
		public = append(public, key)
	}
	if len(public) == 0 {
		return nil, errors.New("it has no key that can be used")
	}
	return public, nil
}
