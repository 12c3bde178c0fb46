package main

import (
	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/iam/identity"
)

// certify lets the agent keep the certificate that each login gives it: neighbours know it by that, and so does
// the control plane, should the agent's platform not prove it for a while.
func (a *agent) certify(auth *client.Auth) {
	auth.Certified = func(c client.Certified) {
		if err := a.certificate.Set(c.Certificate, c.Authority); err != nil {
			a.log.Error("the certificate that the control plane gave is of no use; neighbours will not know this agent", "error", err)
		}
	}
	if auth.Certificate == nil {
		auth.Certificate = a.certificate.Current
		auth.Sources = append(auth.Sources, identity.NewCertificate())
	}
}
