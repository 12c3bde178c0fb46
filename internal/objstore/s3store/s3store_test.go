package s3store

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/storetest"
)

// fake serves an S3 server of this process, plain or over TLS, that holds an empty bucket.
func fake(t *testing.T, overTLS bool) *Store {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	handler := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	return serve(t, overTLS, handler.ServeHTTP)
}

// serve makes a store of a handler.
func serve(t *testing.T, overTLS bool, handler http.HandlerFunc, change ...func(*Config)) *Store {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a test looks at what the client is told
	if overTLS {
		server.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	c := configFor(server.URL)
	if overTLS {
		c.CAFile = filepath.Join(t.TempDir(), "ca.pem")
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		if err := os.WriteFile(c.CAFile, block, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range change {
		f(&c)
	}
	return newStore(t, c)
}

func configFor(endpoint string) Config {
	c := Default()
	c.Bucket, c.Region, c.Endpoint, c.PathStyle = "bucket", "us-east-1", endpoint, true
	c.Credentials = credentials.NewStaticCredentialsProvider("key", "secret", "")
	return c
}

func newStore(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	for name, overTLS := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) objstore.Store { return fake(t, overTLS) })
		})
	}
}

// TestPutIsOneRequest looks at what a put sends: one request over HTTP/1.1 with the condition and the checksum
// that came along, its payload signed only where TLS does not protect it.
func TestPutIsOneRequest(t *testing.T) {
	for name, overTLS := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			var requests []*http.Request
			var body []byte
			s := serve(t, overTLS, func(w http.ResponseWriter, r *http.Request) {
				requests = append(requests, r)
				body, _ = io.ReadAll(r.Body)
			}, func(c *Config) { c.BucketOwner = "123456789012" })
			buffers := [][]byte{make([]byte, 3<<20), []byte("tail")}
			if err := s.PutNew(t.Context(), "a/b", buffers, objstore.Sum(buffers)); err != nil {
				t.Fatal(err)
			}
			if len(requests) != 1 || requests[0].ProtoMajor != 1 || requests[0].Method != http.MethodPut {
				t.Fatalf("got %d requests: %+v", len(requests), requests)
			}
			r := requests[0]
			want := map[string]string{
				"If-None-Match":               "*",
				"X-Amz-Checksum-Crc32c":       encodeSum(objstore.Sum(buffers)),
				"X-Amz-Expected-Bucket-Owner": "123456789012",
				"Expect":                      "",
				"X-Amz-Trailer":               "",
				"Content-Encoding":            "",
			}
			for header, value := range want {
				if got := r.Header.Get(header); got != value {
					t.Errorf("%s: %q, want %q", header, got, value)
				}
			}
			if unsigned := r.Header.Get("X-Amz-Content-Sha256") == "UNSIGNED-PAYLOAD"; unsigned != overTLS {
				t.Errorf("payload signature: %q", r.Header.Get("X-Amz-Content-Sha256"))
			}
			if r.ContentLength != int64(len(body)) || len(body) != 3<<20+4 {
				t.Errorf("content length %d, body %d bytes", r.ContentLength, len(body))
			}
		})
	}
}

// TestMultipartAbortsWhatWasTaken: a server that ignores the condition on completion cannot make an upload
// replace an object that was there before.
func TestMultipartAbortsWhatWasTaken(t *testing.T) {
	var aborted bool
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.URL.Query().Has("uploads"):
			_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>`)
		case r.Method == http.MethodPost:
			t.Error("completed although an object was there")
		case r.Method == http.MethodDelete && r.URL.Query().Get("uploadId") == "u1":
			aborted = true
			w.WriteHeader(http.StatusNoContent)
		}
	})
	u, err := s.Multipart(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Complete(t.Context()); objstore.Class(err) != "exists" {
		t.Errorf("complete: %v", err)
	}
	if !aborted {
		t.Error("the upload was not aborted")
	}
}

func TestEnvironmentNeedsARegion(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	c := Default()
	c.Bucket = "bucket"
	_, err := New(t.Context(), c)
	mustSay(t, err, objstore.ErrInvalid, "s3://bucket", "region", "try:")
	t.Setenv("AWS_REGION", "eu-central-1")
	s := newStore(t, c)
	if !s.tls || s.client.Options().Region != "eu-central-1" {
		t.Errorf("tls %v, region %q", s.tls, s.client.Options().Region)
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
	if newStore(t, c).tls {
		t.Error("an endpoint of the environment without TLS was taken for one with it")
	}
}

func TestConfigReportsEveryFault(t *testing.T) {
	c := Config{Bucket: "a/b", Region: "us east", Endpoint: "ftp://x", BucketOwner: "me", Timeout: -1}
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, word := range []string{"bucket", "region", "endpoint", "owner", "timeout", "connection limit"} {
		mustContain(t, err.Error(), word)
	}
	c = configFor("http://user:password@host")
	err = c.Validate()
	if err == nil {
		t.Fatal("accepted credentials in the endpoint")
	}
	mustNotContain(t, err.Error(), "password")
}

func TestBadCAFile(t *testing.T) {
	c := configFor("https://127.0.0.1:1")
	c.CAFile = filepath.Join(t.TempDir(), "missing.pem")
	_, err := New(t.Context(), c)
	mustSay(t, err, objstore.ErrInvalid, c.CAFile, "try:")
	if err := os.WriteFile(c.CAFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = New(t.Context(), c)
	mustSay(t, err, objstore.ErrInvalid, c.CAFile, "PEM")
}

// credentialsFrom makes a provider of a function.
func credentialsFrom(f func() (aws.Credentials, error)) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return f() })
}
