package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/creds"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/preflight"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
	"github.com/isthmusdata/isthmus/internal/objstore/s3store"
)

const (
	// checkPatience bounds what an agent tries at its buckets before it serves; its session lives longer without a beat.
	checkPatience = 5 * time.Second
	// checkAgain is how long after the first look excess is looked at again.
	checkAgain = 500 * time.Millisecond
)

// roleCheck is an IAM role by which the agent reaches a share, and what it was seen to do.
type roleCheck struct {
	share  client.Share
	role   client.ShareRole
	layout policy.Layout
	checks []preflight.Check
	err    error // nothing could be tried
}

// checkRoles tries what the IAM roles of the agent can do at the buckets of its shares, and does not let it serve with one
// that can do too much. What cannot be tried holds nobody up: a bucket that is away must not keep agents from starting.
func (a *agent) checkRoles(ctx, _ context.Context) error {
	tried, without := a.rolesToCheck()
	if len(without) > 0 {
		a.log.Info("not checked what the agent can do at buckets, for it reaches them by no IAM role", "shares", without)
	}
	if len(tried) == 0 {
		return nil
	}
	a.waitsFor("trying what its roles can do at their buckets")
	bounded, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	var running sync.WaitGroup
	for _, c := range tried {
		running.Go(func() { c.checks, c.err = a.stores.try(bounded, c) })
	}
	running.Wait()
	if err := ctx.Err(); err != nil {
		return err // stopped meanwhile
	}
	var excess []error
	for _, c := range tried {
		excess = append(excess, c.excess())
		if why := c.unshown(); why != "" {
			a.log.Warn("not shown that a role can do what it should, and no more: the agent serves all the same",
				"share", c.share.Name, "role", c.role.Role, "role_arn", c.role.ARN, "why", why)
		}
	}
	err := errors.Join(excess...)
	if err != nil && a.config.AllowExcess {
		a.log.Warn("serving with excess privilege, as --allow-excess says", "excess", err.Error())
		return nil
	}
	if err != nil {
		goodbye, cancel := context.WithTimeout(ctx, goodbyeTimeout)
		defer cancel()
		if end := a.client.EndSession(goodbye, a.session.Load()); end != nil {
			a.log.Info("the session could not be ended, its lease will lapse", "error", end)
		}
		return fmt.Errorf("not serving with excess privilege: %w", err)
	}
	return nil
}

// rolesToCheck are the roles of the shares that the agent was told of at its login, and the shares that it reaches by none.
func (a *agent) rolesToCheck() (tried []*roleCheck, without []string) {
	for _, share := range a.grant.Shares {
		spec, err := open.Parse(share.Bucket)
		before := len(tried)
		for _, name := range a.config.Roles {
			role := a.stores.roleOf(share, name)
			if err != nil || spec.Scheme != "s3" || role.ARN == "" || creds.Mode(a.config.Credentials.Mode) == creds.Ambient {
				continue
			}
			tried = append(tried, &roleCheck{share: share, role: role, layout: layoutOf(a.grant.Cluster, share, role, spec)})
		}
		if len(tried) == before {
			without = append(without, share.Name)
		}
	}
	return tried, without
}

// try has a session of its own, made as that by which the agent will serve.
func (s *stores) try(ctx context.Context, c *roleCheck) ([]preflight.Check, error) {
	spec, err := open.Parse(c.share.Bucket)
	if err != nil {
		return nil, err
	}
	provider, err := s.provider(ctx, c.share, c.role, nil)
	if err != nil {
		return nil, err
	}
	spec, err = spec.By(open.Access{Region: c.share.Region, Owner: c.share.Account, Credentials: provider})
	if err != nil {
		return nil, err
	}
	bucket, shut, err := s3store.Client(ctx, spec.S3)
	if err != nil {
		return nil, err
	}
	defer shut()
	return preflight.Start(ctx, preflight.Options{Role: iam.Role(c.role.Role), Layout: c.layout, S3: bucket, Again: checkAgain}), nil
}

// excess says what the role can do too much, and what to do about it; nil: nothing.
func (c *roleCheck) excess() error {
	var names []string
	for _, k := range c.checks {
		if k.Result == preflight.Excess {
			names = append(names, k.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("role %s of share %s can do more than %s should: %s (give it what `%s` prints and nothing else, or start the agent with --allow-excess)",
		c.role.ARN, c.share.Name, c.role.Role, strings.Join(names, "; "), policyCommand(c.role.Role, c.layout))
}

// unshown is what was not seen to be as it should.
func (c *roleCheck) unshown() string {
	if c.err != nil {
		return c.err.Error()
	}
	var all []string
	for _, k := range c.checks {
		if k.Result == preflight.Failed || k.Result == preflight.Inconclusive {
			all = append(all, string(k.Result)+": "+k.Name+": "+k.Detail)
		}
	}
	return strings.Join(all, "; ")
}

// policyCommand prints the document that a role should have.
func policyCommand(role string, l policy.Layout) string {
	line := "isthmus iam policy --role " + role
	partition := l.Partition
	if l.Region != "" {
		partition = "" // it follows
	}
	for _, f := range [][2]string{
		{"bucket", l.Bucket}, {"prefix", l.Prefix}, {"cluster", l.Cluster}, {"share", l.Share}, {"group", l.Group}, {"region", l.Region},
		{"partition", partition}, {"kms-key", l.KMSKey},
	} {
		if f[1] != "" {
			line += " --" + f[0] + " " + f[1]
		}
	}
	return line
}
