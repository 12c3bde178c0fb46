//go:build e2e && linux

package e2e

import (
	"crypto/tls"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/internal/e2e/walls"
)

// strangerAtControl tries all of it as somebody whom nobody has let in, with what such a one can make or overhear.
func (w *wallsWorld) strangerAtControl(s stage) {
	w.t.Helper()
	h := &thief{wallsWorld: w, actor: "stranger", in: w.net.A, own: w.keys["stranger"], name: fromOutside, at: w.gateway(), layer: walls.S3}
	h.bucket = w.bucketAt(h.at, h.in, static(h.own.Session()))
	c := w.callAs("stranger", "stranger", w.net.A)

	// Its own account's credentials are real, and proven so.
	_, err := c.logIn("prod", "stranger", "produce")
	c.denied("log in as production with its own account's credentials", err)
	_, err = c.logIn("", "")
	c.denied("log in as an operator with its own account's credentials", err)
	c.denial = codes.Unauthenticated // it has got no token
	w.everything(c, h, s)

	w.forgedProofs(s)
	w.forgedTokens()
	w.forgedCertificates()
}

// everything is what callers without a login are denied.
func (w *wallsWorld) everything(c *caller, h *thief, s stage) {
	w.t.Helper()
	code, err := c.plan(s.own)
	c.both("read: GET, and Plan", h.get(ownKey), code, err)
	c.bothCommit("write: PUT, and Commit", h.put(ownKey+"-stranger"), c.commit(s.sessions["prod"], ownShare, s.own))
	_, err = c.watch(s.own)
	c.denied("Watch", err)
	_, err = c.topicNamed(ownTopic)
	c.denied("be told of a topic", err)
	_, err = c.listOffsets(s.own)
	c.denied("ListOffsets", err)
	c.denied("begin a session", c.join("prod", "stranger", "produce"))
	c.denied("end a session of production", c.endSession(s.sessions["prod"]))
	_, err = c.commitOffset("analytics-play", ownTopic)
	c.denied("OffsetCommit on analytics' groups", err)
	_, err = c.deleteTopic(ownTopic)
	c.denied("DeleteTopics", err)
	_, err = c.shorten(ownTopic)
	c.denied("cut retention by IncrementalAlterConfigs", err)
	_, _, err = c.producerID(nil, -1)
	c.denied("InitProducerId", err)
	c.denied("bind itself as an operator", c.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutBinding{
		PutBinding: &controlpb.Binding{Name: "planted", Admin: true, Match: &controlpb.Match{Method: "aws-sigv4", Arn: "*"}}}}))
	c.denied("see shares, grants and bindings", c.see())
}

// forgedProofs are made of a proof of production's that was overheard, or begged from it for another purpose.
func (w *wallsWorld) forgedProofs(s stage) {
	w.t.Helper()
	c := w.call("stranger with production's proof", w.net.A)
	claim := identity.Claim{Group: "prod", Agent: "prod-thief", Roles: []string{"produce"}}
	send := func(nonce, proof []byte, claim identity.Claim) error {
		_, err := c.auth().Authenticate(c.ctx(), &controlpb.AuthenticateRequest{Method: identity.MethodSigV4, Nonce: nonce, Proof: proof,
			Group: claim.Group, Agent: claim.Agent, Roles: claim.Roles, Csr: claim.CSR})
		return err
	}
	begun := c.begin()
	proof := c.proof(w.keys["prod"], c.cluster, begun.GetNonce(), claim)
	c.may("send a proof once, as production itself does", 0, send(begun.GetNonce(), proof, claim))
	c.denied("send the same proof again", send(begun.GetNonce(), proof, claim))
	fresh := c.begin()
	c.denied("send it with a fresh nonce", send(fresh.GetNonce(), proof, claim))

	fresh = c.begin()
	elsewhere := c.proof(w.keys["prod"], "another-cluster", fresh.GetNonce(), claim)
	c.denied("send a proof that was made for another cluster", send(fresh.GetNonce(), elsewhere, claim))

	fresh = c.begin()
	narrow := c.proof(w.keys["prod"], c.cluster, fresh.GetNonce(), claim)
	c.denied("claim another agent by it", send(fresh.GetNonce(), narrow, identity.Claim{Group: "prod", Agent: "another", Roles: claim.Roles}))
	fresh = c.begin()
	narrow = c.proof(w.keys["prod"], c.cluster, fresh.GetNonce(), claim)
	c.denied("have its own key certified by it", send(fresh.GetNonce(), narrow, identity.Claim{Group: "prod", Agent: "prod-thief", Roles: claim.Roles, CSR: []byte("its own")}))
	c.denied("send a proof with a nonce of its own making", send(make([]byte, len(fresh.GetNonce())), narrow, claim))
}

// forgedTokens are a token changed in one letter, in each of its parts, and somebody's name in place of one.
func (w *wallsWorld) forgedTokens() {
	w.t.Helper()
	c := w.callAs("stranger with a forged token", "prod", w.net.A)
	_, err := c.logIn("prod", "prod-thief", "produce")
	c.may("use the true token of production", 0, err)
	_, err = c.topicNamed(ownTopic)
	c.may("be told of a topic by the true token", 0, err)
	c.denial = codes.Unauthenticated
	theirs := c.token
	for _, forged := range []struct{ what, token string }{
		{"use production's token with its middle changed", flip(theirs, len(theirs)/3)},
		{"use production's token with its end changed", flip(theirs, len(theirs)-3)},
		{"use a word for a token", "production"},
	} {
		c.token = forged.token
		_, err = c.topicNamed(ownTopic)
		c.denied(forged.what, err)
	}
}

// flip changes one letter.
func flip(text string, at int) string {
	letter := "A"
	if text[at] == 'A' {
		letter = "B"
	}
	return text[:at] + letter + text[at+1:]
}

// forgedCertificates are names of production and of an operator, signed by an authority of the stranger's own.
func (w *wallsWorld) forgedCertificates() {
	w.t.Helper()
	forger, err := walls.NewCA(filepath.Join(w.dir, "forger"), w.controlCA.Subject.CommonName)
	w.check(err)
	for _, forged := range []struct{ what, uri string }{
		{"an operator", "spiffe://" + meshCluster + "/admin/root"},
		{"production", "spiffe://" + meshCluster + "/group/prod/agent/prod-thief"},
	} {
		certFile, keyFile, err := forger.Client(strings.ReplaceAll(forged.what, " ", "-"), forged.uri)
		w.check(err)
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		w.check(err)
		c := w.call("stranger with a forged certificate", w.net.A, pair)
		begun := c.begin()
		claim := &controlpb.AuthenticateRequest{Method: identity.MethodMTLS, Nonce: begun.GetNonce()}
		if forged.what == "production" {
			claim.Group, claim.Agent, claim.Roles = "prod", "prod-thief", []string{"produce"}
		}
		_, err = c.auth().Authenticate(c.ctx(), claim)
		c.denied("log in by a certificate of "+forged.what+" that it signed itself", err)
	}
}
