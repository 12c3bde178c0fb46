//go:build e2e && linux

package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/internal/e2e/walls"
)

// restartsMidLogin ends the control plane between the two halves of a login, while an agent comes and records flow.
func (w *wallsWorld) restartsMidLogin(f *flow) {
	w.t.Helper()
	f.moves("before the control plane is restarted", 50)
	half := w.callAs("fetch", "analytics", w.net.B)
	begun := half.begin()

	w.control.signal(syscall.SIGTERM)
	if err := w.control.cmd.Wait(); err != nil {
		w.t.Errorf("the control plane ended with %v", err)
	}
	late := w.startAgent(w.net.A, "prod", "produce", 2) // finds nobody to log in to
	late.says("waiting for the control plane", 1)
	w.control.start()
	w.readyIn(w.net.Services, "control plane", controlHTTP)
	w.agentReady(w.net.A, late)

	half.denial = codes.Unauthenticated
	_, err := half.auth().Authenticate(half.ctx(), &controlpb.AuthenticateRequest{Method: identity.MethodMTLS, Nonce: begun.GetNonce(),
		Group: "analytics", Agent: "analytics-thief", Roles: []string{"fetch"}})
	half.denied("end a login that was begun before the control plane was restarted", err)
	f.moves("after the control plane was restarted", 100)
	late.signal(syscall.SIGTERM)
	if err := late.cmd.Wait(); err != nil {
		w.t.Errorf("the late agent ended with %v", err)
	}
	late.cmd = nil
}

// rotatesKeys gives both groups new gossip keys and certificates while records flow; the old certificates are worth nothing then.
func (w *wallsWorld) rotatesKeys(f *flow) {
	w.t.Helper()
	f.moves("before keys are rotated", 50)
	c := w.callAs("fetch with a rotated certificate", "analytics", w.net.B)
	old, err := c.logIn("analytics", "analytics-thief", "fetch")
	c.may("log in before its group's keys are rotated", 0, err)
	shown := w.call(c.actor, w.net.B, old)
	shown.denial = codes.PermissionDenied
	again := func() error {
		_, err := shown.auth().Authenticate(shown.ctx(), &controlpb.AuthenticateRequest{Method: identity.MethodMTLS, Nonce: shown.begin().GetNonce(),
			Group: "analytics", Agent: "analytics-thief", Roles: []string{"fetch"}})
		return err
	}
	shown.may("log in by the certificate that it was given", 0, again())

	for _, group := range []string{"prod", "analytics"} {
		w.operator("group", "rotate", group)
	}
	eventually(w.t, "the old certificates of analytics are refused", func() error {
		if _, denied := walls.DeniedByControl(again(), codes.PermissionDenied); !denied {
			return fmt.Errorf("one still lets its bearer in")
		}
		return nil
	})
	shown.denied("log in by a certificate that was rotated away", again())
	f.moves("after keys were rotated", 100)
	for _, a := range w.prod {
		w.hasMembers(w.net.A, a, 2)
	}
	for _, a := range w.analytics {
		w.hasMembers(w.net.B, a, 2)
	}
}

// hasMembers waits until an agent sees so many of its group.
func (w *wallsWorld) hasMembers(in walls.VPC, a *agent, want int) {
	w.t.Helper()
	client := in.Client(nil)
	eventually(w.t, fmt.Sprintf("agent %s sees %d members of its group", a.kafka, want), func() error {
		response, err := client.Get("http://" + a.http + "/metrics")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("metrics: %s", response.Status)
		}
		line := fmt.Sprintf("isthmus_agentgroup_members %d", want)
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "isthmus_agentgroup_members ") {
				if lines.Text() == line {
					return nil
				}
				return fmt.Errorf("it says %q", lines.Text())
			}
		}
		return fmt.Errorf("it says nothing of members")
	})
}
