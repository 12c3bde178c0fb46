package s3store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Config says which bucket and how to reach it.
type Config struct {
	Bucket      string
	Region      string        // empty: from the environment or the shared AWS configuration
	Endpoint    string        // http(s)://host[:port] of a server other than AWS; empty: AWS
	PathStyle   bool          // the bucket in the path, not in the host name
	CAFile      string        // PEM certificates to trust besides the system's and AWS_CA_BUNDLE
	BucketOwner string        // account id that must own the bucket: the server refuses every request when another does
	KMSKey      string        // ARN of the key that objects are encrypted with; empty: as the bucket does by itself
	Timeout     time.Duration // of one request, all its retries included
	MaxConns    int           // connections in use at a time; others wait

	// Credentials replaces the SDK's chain (environment, shared files, container, instance). It is asked at every
	// request and keeps what it has itself. One that is a Renewer is told of refusals.
	Credentials aws.CredentialsProvider

	retryWait time.Duration // the longest pause between attempts at a read
}

// Default is a configuration that lacks only the bucket.
func Default() Config {
	return Config{Timeout: 60 * time.Second, MaxConns: 512, retryWait: time.Second}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	if err := checkBucket(c.Bucket); err != nil {
		faults = append(faults, err)
	}
	if c.Endpoint != "" {
		if err := checkEndpoint(c.Endpoint); err != nil {
			faults = append(faults, err)
		}
	}
	if strings.ContainsAny(c.Region, " /.:") {
		fault("region %q is not a region: write one such as us-east-1", c.Region)
	}
	if c.BucketOwner != "" && (len(c.BucketOwner) != 12 || strings.Trim(c.BucketOwner, "0123456789") != "") {
		fault("bucket owner %q is not an account id: write its 12 digits", c.BucketOwner)
	}
	if c.Timeout <= 0 {
		fault("timeout %v is not above 0", c.Timeout)
	}
	if c.MaxConns <= 0 {
		fault("connection limit %d is not above 0", c.MaxConns)
	}
	return errors.Join(faults...)
}

func checkBucket(name string) error {
	if len(name) < 3 || len(name) > 255 {
		return fmt.Errorf("bucket %q is not a bucket name: write 3 to 63 letters, digits, dots and dashes", name)
	}
	for _, r := range name {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_'
		if !ok {
			return fmt.Errorf("bucket %q holds %q: write letters, digits, dots and dashes", name, r)
		}
	}
	return nil
}

func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case strings.Contains(endpoint, "@"): // before anything that shows the endpoint
		return errors.New("endpoint holds credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return fmt.Errorf("endpoint %q is no address: write http://HOST:PORT or https://HOST:PORT", endpoint)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("endpoint %q has more than scheme, host and port", endpoint)
	}
	return nil
}

// newTransport is tuned for many requests in parallel to one host: no HTTP/2, whose one connection would be
// a queue, and idle connections enough for the next flush.
func newTransport(c Config) (*http.Transport, error) {
	roots, err := trusted(c.CAFile, os.Getenv("AWS_CA_BUNDLE"))
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: c.Timeout,
		IdleConnTimeout:       20 * time.Second, // below what servers allow, so that a put rarely meets a closed connection
		MaxIdleConns:          c.MaxConns,
		MaxIdleConnsPerHost:   c.MaxConns,
		MaxConnsPerHost:       c.MaxConns,
		DisableCompression:    true, // a range is a range of stored bytes
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        16 << 10,
		Protocols:             protocols,
	}, nil
}

// trusted returns the system's certificates and those of the files, or nil (the system's) without any.
func trusted(files ...string) (*x509.CertPool, error) {
	var roots *x509.CertPool
	for _, file := range files {
		if file == "" {
			continue
		}
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read CA certificates: %w", err)
		}
		if roots == nil {
			if roots, err = x509.SystemCertPool(); err != nil {
				return nil, fmt.Errorf("read the system's CA certificates: %w", err)
			}
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s holds no PEM certificate", file)
		}
	}
	return roots, nil
}
