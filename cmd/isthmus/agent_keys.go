package main

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/iam/identity"
)

// certify lets the agent keep the certificate that each login gives it: neighbours know it by that, and so does
// the control plane, should the agent's platform not prove it for a while. An agent that has joined by a token has
// nothing else to prove itself by.
func (a *agent) certify(auth *client.Auth) {
	auth.Certified = func(c client.Certified) {
		if err := a.certificate.Set(c.Certificate, c.Authority); err != nil {
			a.log.Error("the certificate that the control plane gave is of no use; neighbours will not know this agent", "error", err)
			return
		}
		a.keys.certified.Store(c.Epoch)
		if a.kept == nil {
			return
		}
		if err := a.kept.write(c); err != nil {
			a.log.Error("this agent will have to join anew after a restart", "error", err)
		}
	}
	if a.config.joins() {
		auth.Open, auth.Sources = false, nil
		auth.Certificate = nil
	}
	if auth.Certificate == nil {
		auth.Certificate = a.certificate.Current
		auth.Sources = append(auth.Sources, identity.NewCertificate())
	}
	if a.config.Join != "" {
		auth.Sources = append(auth.Sources, joinToken(a.config.Join))
		if a.kept == nil {
			a.log.Warn("what this agent gets for its join token lives in its memory alone: after a restart it needs another one (keep it with --state DIR)")
		}
	}
}

// keyChange is the agent's part in a rotation of its group's keys.
type keyChange struct {
	certified atomic.Uint64 // epoch of the last certificate

	sync.Mutex
	wanted *client.Keys // nil: nothing is under way
}

// rekey takes keys that the control plane names: at once those of gossip, and beside, for it has to be asked for,
// a certificate of their epoch. Only then does the control plane hear that the agent is ready: nobody forgets a key, or
// refuses a certificate, that this agent still needs.
func (a *agent) rekey(life context.Context, keys client.Keys) {
	a.certificate.Refuse(keys.LeastCertificate)
	if err := a.group.SetKeys(keys.Keys[0], keys.Keys[1:]...); err != nil {
		a.log.Error("the group's gossip keys cannot be changed to those of the control plane", "epoch", keys.Epoch, "error", err)
		return
	}
	a.keys.Lock()
	defer a.keys.Unlock()
	busy := a.keys.wanted != nil
	a.keys.wanted = &keys
	if !busy {
		a.running.Go(func() { a.recertify(life) })
	}
}

// recertify gets a certificate of the epoch that is wanted, unless there is one, and says that the agent is ready.
func (a *agent) recertify(life context.Context) {
	for {
		a.keys.Lock()
		wanted := *a.keys.wanted
		a.keys.Unlock()
		if a.keys.certified.Load() < wanted.Epoch {
			if err := a.client.Renew(life); err != nil && life.Err() == nil {
				a.log.Warn("no certificate of the group's new epoch yet; it is asked for again", "epoch", wanted.Epoch, "error", err)
			}
		}
		a.keys.Lock()
		if a.keys.wanted.Epoch != wanted.Epoch && life.Err() == nil {
			a.keys.Unlock()
			continue // another has come meanwhile
		}
		if a.keys.certified.Load() >= wanted.Epoch {
			a.membership.UseKeys(wanted.Epoch)
			a.log.Info("the group's keys have changed", "epoch", wanted.Epoch, "keys", len(wanted.Keys), "least_certificate", wanted.LeastCertificate)
		}
		a.keys.wanted = nil // the next heartbeat names it again, where it is not done
		a.keys.Unlock()
		return
	}
}
