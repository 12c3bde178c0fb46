//go:build e2e && linux

package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/iam/standin"
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
	w.stop(late)
}

// stsAwayFor is how long STS is away while agents go on.
const stsAwayFor = 60 * time.Second

// stsAway takes STS away for a minute from everybody: the one that gives sessions of roles, and the one that says who has signed
// a login. Agents that are there go on; those that come wait.
func (w *wallsWorld) stsAway(f *flow) {
	w.t.Helper()
	f.moves("before STS is away", 50)
	w.sts.Away()
	w.eval.Down(standin.STS, true)
	end := time.Now().Add(stsAwayFor)
	writer, reader := w.startAgent(w.net.A, "prod", "produce", 2), w.startAgent(w.net.B, "analytics", "fetch", 2)
	for time.Now().Before(end) {
		f.moves("while STS is away", 200)
	}
	if err := w.isReady(w.net.A, writer.http); err == nil {
		w.t.Errorf("an agent of production logged in while nobody could say who it is")
	}
	w.eval.Down(standin.STS, false)
	w.check(w.sts.Back())
	w.agentReady(w.net.A, writer)
	w.agentReady(w.net.B, reader)
	f.moves("after STS was back", 100)
	w.stop(writer)
	w.stop(reader)
}

// wrongEndpoints starts agents that ask the STS of a wrong region, and none at all. They say so and disturb nobody.
func (w *wallsWorld) wrongEndpoints(f *flow) {
	w.t.Helper()
	elsewhere := w.startAgent(w.net.A, "prod", "produce", 2, "AWS_REGION=eu-central-1")
	elsewhere.says("eu-central-1", 1)
	f.moves("while an agent proves itself in a wrong region", 100)
	elsewhere.kill()
	nowhere := w.startAgent(w.net.B, "analytics", "fetch", 2, "--sts-endpoint", "http://"+w.net.Services.At(9))
	nowhere.says("STS", 1)
	f.moves("while an agent asks no STS at all", 100)
	nowhere.kill()
	f.moves("after agents with wrong endpoints have gone", 100)
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
