//go:build e2e

package s3store_test

import (
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"testing"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
	"github.com/isthmusdata/isthmus/internal/objstore/storetest"
)

// setting is a variable of scripts/ceph.sh env.
func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; try: scripts/ceph.sh up, then eval \"$(scripts/ceph.sh env)\"", name)
	}
	return value
}

// server opens a folder of the server's bucket that nobody else uses.
func server(t *testing.T, bucket string, query url.Values) objstore.Store {
	t.Helper()
	s, err := open.Open(t.Context(), "s3://"+bucket+"/"+rand.Text()+"?"+query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func plain(t *testing.T) url.Values {
	return url.Values{"endpoint": {setting(t, "ISTHMUS_E2E_S3")}, "region": {"us-east-1"}}
}

func overTLS(t *testing.T) url.Values {
	return url.Values{"endpoint": {setting(t, "ISTHMUS_E2E_S3_TLS")}, "region": {"us-east-1"}, "ca": {setting(t, "ISTHMUS_E2E_S3_CA")}}
}

func TestServerPlain(t *testing.T) {
	query, bucket := plain(t), setting(t, "ISTHMUS_E2E_S3_BUCKET")
	storetest.Run(t, func(t *testing.T) objstore.Store { return server(t, bucket, query) })
}

func TestServerOverTLS(t *testing.T) {
	query, bucket := overTLS(t), setting(t, "ISTHMUS_E2E_S3_BUCKET")
	storetest.Run(t, func(t *testing.T) objstore.Store { return server(t, bucket, query) })
}

// TestServerOverTLSByEnvironment trusts the server through AWS_CA_BUNDLE.
func TestServerOverTLSByEnvironment(t *testing.T) {
	query := overTLS(t)
	t.Setenv("AWS_CA_BUNDLE", query.Get("ca"))
	query.Del("ca")
	s := server(t, setting(t, "ISTHMUS_E2E_S3_BUCKET"), query)
	body := [][]byte{[]byte("trusted")}
	if err := s.PutNew(t.Context(), "k", body, objstore.Sum(body)); err != nil {
		t.Fatal(err)
	}
}

// TestServerRefuses: what goes wrong with a real server is told as what it is.
func TestServerRefuses(t *testing.T) {
	bucket := setting(t, "ISTHMUS_E2E_S3_BUCKET")
	put := func(s objstore.Store) error { return s.PutNew(t.Context(), "k", nil, 0) }

	untrusted := overTLS(t)
	untrusted.Del("ca")
	missing := server(t, bucket+"-missing", plain(t))
	_, _, listErr := missing.List(t.Context(), "", "", 10)
	_, getErr := missing.GetRange(t.Context(), "k", 0, 1)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	for name, c := range map[string]struct{ err, want error }{
		"server without our trust": {put(server(t, bucket, untrusted)), objstore.ErrUnavailable},
		"wrong secret":             {put(server(t, bucket, plain(t))), objstore.ErrDenied},
		"missing bucket, put":      {put(missing), objstore.ErrNoBucket},
		"missing bucket, list":     {listErr, objstore.ErrNoBucket},
		"missing bucket, get":      {getErr, objstore.ErrNoBucket},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: got %v, want %v", name, c.err, c.want)
		}
	}
}
