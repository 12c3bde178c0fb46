package standin_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/isthmusdata/isthmus/iam/identity"
)

// TestProvesLogins: a login by aws-sigv4, whose proof nobody but STS can verify, is verified here as there, user and session alike.
func TestProvesLogins(t *testing.T) {
	w := newWorld(t)
	w.Account(prod)
	key, secret := w.User(prod, "agent")
	authenticator, err := identity.NewSigV4(identity.SigV4Options{Regions: []string{"eu-west-1"}, Endpoint: w.url, Now: w.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	nonce := byte(0)
	prove := func(secret string) (identity.Proven, error) {
		nonce++
		c := identity.Challenge{Server: "cluster", Nonce: append(make([]byte, 31), nonce), Claim: identity.Claim{Group: "prod", Agent: "a", Roles: []string{"produce"}}}
		proof, err := identity.NewSigV4Source(credentials.NewStaticCredentialsProvider(key, secret, ""), "eu-west-1", w.clock.now).Proof(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return authenticator.Authenticate(t.Context(), c, proof, identity.Peer{Address: "192.0.2.1:1"})
	}
	proven, err := prove(secret)
	if err != nil || proven.ARN != w.UserARN(prod, "agent") || proven.Account != prod {
		t.Errorf("proven %+v, %v", proven, err)
	}
	if _, err := prove("another" + secret); !errors.Is(err, identity.ErrRefused) {
		t.Errorf("with another secret: %v", err)
	}
}
