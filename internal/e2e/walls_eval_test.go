//go:build e2e && linux

package e2e

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/standin"
	"github.com/isthmusdata/isthmus/internal/e2e/walls"
)

const evalPort = 17500

// startEval starts the embedded S3 and STS in the services network. The control plane asks it who has signed a login, for
// Ceph 16 does not answer GetCallerIdentity; and it enforces the documents of which Ceph 16 knows too little.
func (w *wallsWorld) startEval() {
	w.t.Helper()
	w.eval = standin.New(standin.Options{})
	w.serveTLS(w.eval, "eval", evalPort)
	for user, account := range wallsUsers {
		w.eval.Account(account)
		id, secret := w.eval.User(account, user)
		w.keys[user] = walls.Key{ID: id, Secret: secret}
	}
	w.eval.Account(prodAccount)
	id, secret := w.eval.User(prodAccount, "intern")
	w.keys["intern"] = walls.Key{ID: id, Secret: secret}
}

// makeEvalRoles gives the embedded server the roles that Ceph has, with all that their documents say.
func (w *wallsWorld) makeEvalRoles() {
	w.t.Helper()
	w.eval.Bucket(dataAccount, meshBucket)
	var all []string
	for _, r := range wallsRoles {
		all = append(all, w.eval.Role(dataAccount, roleName(r.share, r.group, r.role), w.trust(wallsUsers[r.user], r.user, r.group), w.permission(r.role, r.share, r.group, false)))
	}
	for _, user := range []string{"prod", "intern", "analytics", "jobs"} { // who may ask for every role, and is answered by its trust
		w.eval.SetPermission(w.eval.UserARN(wallsAccount(user), user), w.source(all...))
	}
	guard, err := policy.Bucket(policy.BucketSpec{Layout: layout("", "", false)})
	w.check(err)
	w.eval.SetBucketPolicy(meshBucket, guard)
	for _, key := range []string{ownKey, neighbourKey, otherKey, metaKey, foreignKey, outsideKey, canaryKey} {
		w.eval.PutObject(meshBucket, key, []byte(treasure))
	}
}

func wallsAccount(user string) string {
	if account, ok := wallsUsers[user]; ok {
		return account
	}
	return prodAccount
}

func (w *wallsWorld) document(text string) policy.Document {
	w.t.Helper()
	d, err := policy.Parse([]byte(text))
	if err != nil {
		w.t.Fatalf("%v: %s", err, text)
	}
	return d
}

// trust lets one user assume a role with the external id and the session names of its group. Generated documents name roles of
// the agents' accounts; here a user stands for each.
func (w *wallsWorld) trust(account, user, group string) policy.Document {
	w.t.Helper()
	role := "arn:aws:iam::" + account + ":role/isthmus-agent-" + user
	d, err := policy.Trust(policy.TrustSpec{Principals: []string{role}, ExternalID: meshCluster + "/" + group, Group: group})
	w.check(err)
	return w.document(strings.ReplaceAll(d.JSON(), role, userARN(account, user)))
}

func (w *wallsWorld) source(roles ...string) policy.Document {
	w.t.Helper()
	d, err := policy.Source(policy.SourceSpec{Roles: roles})
	w.check(err)
	return d
}

// session takes a role at the embedded server, in one way or another.
func (h *thief) session(role string, change func(*sts.AssumeRoleInput)) (aws.Credentials, error) {
	group := strings.Split(role, "/")[1]
	input := &sts.AssumeRoleInput{RoleArn: aws.String(h.roles[role]), RoleSessionName: aws.String(group + "-thief"), ExternalId: aws.String(meshCluster + "/" + group)}
	if change != nil {
		change(input)
	}
	return h.assumeAt(h.t.Context(), h.at, h.in, h.own, input)
}

// evalThief is somebody at the embedded server, with the session that an agent of its would have.
func (w *wallsWorld) evalThief(actor, user, role string, in walls.VPC) *thief {
	w.t.Helper()
	h := &thief{wallsWorld: w, actor: actor, in: in, own: w.keys[user], name: meshBucket, at: w.evalURL(), layer: walls.Eval}
	c, err := h.session(role, nil)
	h.works(actor, "assume the role of its group, with the group's external id", err)
	h.bucket = w.bucketAt(h.at, in, static(c))
	return h
}

// deniedSession is a session that the trust of a role does not give.
func (h *thief) deniedSession(what, role string, change func(*sts.AssumeRoleInput)) {
	h.t.Helper()
	_, err := h.session(role, change)
	evidence, denied := walls.DeniedBySTS(err)
	h.attempt(h.actor, what, walls.Eval, evidence, denied)
}

// putPlain puts without the condition that nothing may be there.
func (h *thief) putPlain(key string) error {
	_, err := h.bucket.PutObject(h.t.Context(), &s3.PutObjectInput{Bucket: aws.String(h.name), Key: aws.String(key), Body: strings.NewReader("planted")})
	return err
}

// notOver tries to put over an object under the condition that nothing is there, which is allowed and fails on what is there.
func (h *thief) notOver(what, key string) {
	h.t.Helper()
	evidence, held := walls.FailedOnCondition(h.put(key))
	if body, ok := h.eval.Object(meshBucket, key); !ok || string(body) != treasure {
		evidence, held = evidence+", and the object has changed", false
	}
	h.attempt(h.actor, what, walls.Eval, evidence, held)
}

// thievesAtEval holds what Ceph 16 cannot express against the embedded server, which decides by the same documents in full.
func (w *wallsWorld) thievesAtEval() {
	w.t.Helper()
	w.producerAtEval()
	w.fetcherAtEval()

	jobs := w.evalThief("jobs", "jobs", ownShare+"/jobs/jobs", w.net.Services)
	jobs.works(jobs.actor, "put a new object into its share", jobs.put(meshCluster+"/data/"+ownShare+"/jobs/new"))
	jobs.denied("unconditional PUT into its share", jobs.putPlain(meshCluster+"/data/"+ownShare+"/jobs/newer"))
	jobs.denied("overwrite a segment of its share", jobs.putPlain(ownKey))

	owner := &thief{wallsWorld: w, actor: "the bucket's owner", in: w.net.Services, own: w.keys["owner"], name: meshBucket, at: w.evalURL(), layer: walls.Eval}
	w.eval.SetPermission(w.eval.UserARN(dataAccount, "owner"), w.document(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["*"]}]}`))
	owner.bucket = w.bucketAt(owner.at, owner.in, static(owner.own.Session()))
	owner.works(owner.actor, "put outside of the cluster's data", owner.putPlain("elsewhere/new"))
	owner.denied("overwrite a segment, with every right on the bucket", owner.putPlain(ownKey))
}

func (w *wallsWorld) producerAtEval() {
	w.t.Helper()
	role := ownShare + "/prod/produce"
	h := w.evalThief("produce", "prod", role, w.net.A)
	fresh := meshCluster + "/data/" + ownShare + "/prod/thief"
	h.works(h.actor, "put a new object on the condition that nothing is there", h.put(fresh))
	h.denied("unconditional PUT", h.putPlain(fresh+"-plain"))
	h.denied("overwrite a segment of its own", h.putPlain(ownKey))
	h.notOver("overwrite a segment of its own by a conditional PUT", ownKey)
	h.denied("overwrite another group's segment", h.put(neighbourKey))
	h.denied("PUT an object in parts, past the condition", h.parts(fresh+"-parts"))
	h.denied("COPY over a segment", h.copyTo(fresh, ownKey))
	h.denied("GET a key that is not there, to learn that", h.get(fresh+"-missing"))
	h.deniedSession("assume its own role without an external id", role, func(in *sts.AssumeRoleInput) { in.ExternalId = nil })
	h.deniedSession("assume its own role with another group's external id", role, func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String(meshCluster + "/analytics") })
	h.deniedSession("assume its own role under another group's name", role, func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("analytics-1") })
	h.deniedSession("assume the role of analytics with their external id", ownShare+"/analytics/fetch", nil)

	wide, err := h.session(role, func(in *sts.AssumeRoleInput) {
		in.Policy = aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["*"]}]}`)
	})
	h.works(h.actor, "assume its own role with a session policy that allows everything", err)
	h.bucket = w.bucketAt(h.at, h.in, static(wide))
	h.denied("GET a segment by a session policy that allows everything", h.get(ownKey))

	intern := &thief{wallsWorld: w, actor: "another user of production's account", in: w.net.A, own: w.keys["intern"], name: meshBucket, at: w.evalURL(), layer: walls.Eval}
	_, err = sts.NewFromConfig(w.awsAt(intern.at, intern.in, static(intern.own.Session()))).GetCallerIdentity(w.t.Context(), &sts.GetCallerIdentityInput{})
	intern.works(intern.actor, "ask STS who it is", err)
	intern.deniedSession("assume production's role, knowing the external id", role, nil)
}

func (w *wallsWorld) fetcherAtEval() {
	w.t.Helper()
	role := ownShare + "/analytics/fetch"
	h := w.evalThief("fetch", "analytics", role, w.net.B)
	h.works(h.actor, "get a segment of its share", h.get(ownKey))
	h.denied("PUT on the condition that nothing is there", h.put(neighbourKey+"-planted"))
	h.denied("unconditional PUT", h.putPlain(neighbourKey+"-planted"))
	h.denied("overwrite a segment that it reads", h.putPlain(ownKey))
	h.deniedSession("assume its own role without an external id", role, func(in *sts.AssumeRoleInput) { in.ExternalId = nil })
	h.deniedSession("assume its own role with another group's external id", role, func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String(meshCluster + "/prod") })
	h.deniedSession("assume the role of production with its external id", ownShare+"/prod/produce", nil)
}
