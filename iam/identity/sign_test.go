package identity

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func setBody(r *http.Request, body string) {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader([]byte(body))), int64(len(body))
}

// signatureOf signs a call after it was changed, as the holder of the secret may.
func signatureOf(t *testing.T, r *http.Request, keys aws.Credentials, at time.Time, change func(*http.Request)) string {
	t.Helper()
	change(r)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := v4.NewSigner().SignHTTP(context.Background(), keys, r, hexSum(body), "sts", "eu-west-1", at); err != nil {
		t.Fatal(err)
	}
	_, signature, ok := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	if !ok {
		t.Fatal("no signature")
	}
	return signature
}
