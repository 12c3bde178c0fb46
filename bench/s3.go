package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/internal/bench"
)

func s3Cases() []Case {
	return []Case{{"produce-s3-tls", "produce 100 MB/s into an S3 server over TLS, whose CPU is not counted", []System{Isthmus}, produceToS3}}
}

// produceToS3 is at a rate, for the server copies and hashes what it gets on the same processors.
func produceToS3(ctx context.Context, e *Env, s System) (Sample, error) {
	dir, err := os.MkdirTemp(e.Dir, "s3-")
	if err != nil {
		return Sample{}, err
	}
	own, err := os.Executable()
	if err != nil {
		return Sample{}, err
	}
	address, err := freeAddress()
	if err != nil {
		return Sample{}, err
	}
	ca := filepath.Join(dir, "ca.pem")
	server, err := start(dir, "s3", nil, own, "s3", "--listen", address, "--ca", ca)
	if err != nil {
		return Sample{}, err
	}
	defer server.stop()
	if err := listening(ctx, server, address); err != nil {
		return Sample{}, err
	}
	t, err := e.Target(ctx, s, Options{
		Bucket:  fmt.Sprintf("s3://bench?endpoint=https://%s&path-style=true&ca=%s", address, ca),
		Environ: []string{"AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench"}, Fetch: -1,
	})
	if err != nil {
		return Sample{}, err
	}
	defer t.Close(ctx, e)
	c := t.Aim(large())
	c.Rate = 100e6 / float64(c.RecordSize)
	c.Warmup, c.For = e.Warmup(), e.Measure()
	defer e.profile(ctx, t.cluster, "produce-s3-tls", c.Warmup, c.For)()
	return sound(bench.Produce(ctx, c, e.log, nil))
}

// listening waits until a server takes connections.
func listening(ctx context.Context, p *process, address string) error {
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.name, lastWords(p.log))
		default:
		}
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		last = err
	}
	return fmt.Errorf("%s does not listen: %w", p.name, last)
}

func newS3() *cobra.Command {
	var listen, ca string
	cmd := &cobra.Command{Use: "s3", Short: "Serve an S3 server in memory over TLS, with a bucket named bench", Hidden: true, Args: cobra.NoArgs}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9000", "address")
	cmd.Flags().StringVar(&ca, "ca", "ca.pem", "file to write the certificate to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		certificate, err := selfSigned(ca)
		if err != nil {
			return err
		}
		backend := s3mem.New()
		if err := backend.CreateBucket("bench"); err != nil {
			return err
		}
		server := &http.Server{
			Addr: listen, Handler: gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server(),
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}, ReadHeaderTimeout: patience,
		}
		return server.ListenAndServeTLS("", "")
	}
	return cmd
}

// selfSigned makes a certificate for loopback that lives as long as a run may, and writes it to file.
func selfSigned(file string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
