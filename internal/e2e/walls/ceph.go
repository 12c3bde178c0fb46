//go:build e2e && linux

package walls

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Ceph is an object gateway that scripts/ceph.sh started inside a VPC. Its tenants stand for accounts: a
// tenant is named with the twelve digits of one.
type Ceph struct {
	at   VPC
	conf string
	Keys map[string]Key // by account/user
}

// Key is a long-lived key of a user.
type Key struct{ ID, Secret string }

// Gateway is the gateway of the folder that ceph.sh works in.
func Gateway(at VPC, folder string) *Ceph {
	return &Ceph{at: at, conf: filepath.Join(folder, "ceph", "ceph.conf"), Keys: map[string]Key{}}
}

// CAFile is the PEM file of the authority that has signed for the gateway.
func (c *Ceph) CAFile() string { return filepath.Join(filepath.Dir(c.conf), "tls", "ca.pem") }

func (c *Ceph) admin(args ...string) error {
	run := c.at.Command("radosgw-admin", args...)
	// The gateway is asked by one process more, which now and then does not find the monitor at once.
	var err error
	for _, pause := range []time.Duration{time.Second, 3 * time.Second, 0} {
		cmd := exec.Command(run[0], run[1:]...)
		cmd.Env = append(os.Environ(), "CEPH_CONF="+c.conf)
		var complaints bytes.Buffer
		cmd.Stderr = &complaints
		if err = cmd.Run(); err == nil {
			return nil
		}
		err = fmt.Errorf("radosgw-admin %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(complaints.Bytes()))
		time.Sleep(pause)
	}
	return err
}

// User makes a user of an account with a key that others chose, so that two servers may know the same one.
func (c *Ceph) User(account, name string, key Key) error {
	if err := c.admin("user", "create", "--tenant", account, "--uid", name, "--display-name", name, "--access-key", key.ID, "--secret-key", key.Secret); err != nil {
		return err
	}
	c.Keys[account+"/"+name] = key
	return nil
}

// Manager lets a user make roles and their policies in its own account.
func (c *Ceph) Manager(account, name string) error {
	return c.admin("caps", "add", "--tenant", account, "--uid", name, "--caps", "roles=*")
}

// Role makes a role of an account and says what it is.
func (c *Ceph) Role(account, name, trust, permission string) (string, error) {
	if err := c.admin("role", "create", "--tenant", account, "--role-name", name, "--assume-role-policy-doc", trust); err != nil {
		return "", err
	}
	return "arn:aws:iam::" + account + ":role/" + name,
		c.admin("role-policy", "put", "--tenant", account, "--role-name", name, "--policy-name", "permission", "--policy-doc", permission)
}

// Session is the key as credentials that do not end.
func (k Key) Session() aws.Credentials {
	return aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret}
}
