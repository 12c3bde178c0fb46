package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/control/client"
)

// joinLife is how long a join token waits to be used.
const joinLife = 24 * time.Hour

// newJoinToken draws a token and says what is stored of it.
func newJoinToken() (token string, hash []byte, err error) {
	var raw [20]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", nil, fmt.Errorf("draw a join token: %w", err)
	}
	token = "isthmus-join-" + strings.ToLower(base32.StdEncoding.EncodeToString(raw[:]))
	sum := sha256.Sum256([]byte(token))
	return token, sum[:], nil
}

// printJoin makes a token and prints the command by which one agent of another machine joins.
func printJoin(ctx context.Context, w io.Writer, c *localCluster, advertise string, log *slog.Logger) error {
	token, hash, err := newJoinToken()
	if err != nil {
		return err
	}
	here := defaultLogin()
	here.Addresses = []string{c.controlAddr()}
	operator, err := dialControl(&here, log)
	if err != nil {
		return err
	}
	err = operator.PutJoinToken(ctx, client.JoinToken{
		Hash: hash, Until: time.Now().Add(joinLife), Group: playgroundGroup, Roles: rolesOf("produce", "fetch"), IDPrefixes: []string{"*"},
	})
	if err = errors.Join(err, operator.Close()); err != nil {
		return fmt.Errorf("make a join token: %w", err)
	}
	address, err := reachable(c.control.node.OutsideAddr(), advertise)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, `
A second machine (this lets one agent in, once, within %d hours; it needs credentials of its own for the bucket)
  isthmus agent --control %s --control-pin %s --join %s --group %s --roles fetch --state ./isthmus-agent
`, int(joinLife.Hours()), address, c.control.node.Pin(), token, playgroundGroup)
	return nil
}

// reachable is a listener's address as other machines may write it.
func reachable(listens net.Addr, advertise string) (string, error) {
	host, port, err := net.SplitHostPort(listens.String())
	if err != nil {
		return "", fmt.Errorf("the control plane listens on %s: %w", listens, err)
	}
	if advertise != "" {
		return net.JoinHostPort(advertise, port), nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		return net.JoinHostPort(host, port), nil
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("list this machine's addresses: %w", err)
	}
	best := ""
	for _, o := range own {
		if n, ok := o.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && (best == "" || n.IP.To4() != nil && strings.Contains(best, ":")) {
			best = n.IP.String()
		}
	}
	if best == "" {
		best = "127.0.0.1" // this machine has no other
	}
	return net.JoinHostPort(best, port), nil
}
