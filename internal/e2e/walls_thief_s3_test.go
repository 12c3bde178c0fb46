//go:build e2e && linux

package e2e

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/isthmusdata/isthmus/internal/e2e/walls"
)

// thief tries things at the bucket with everything that somebody really has.
type thief struct {
	*wallsWorld
	actor  string
	in     walls.VPC
	own    walls.Key // of its own account
	name   string    // of the bucket, as it is seen from there
	at     string    // where S3 and STS are
	layer  walls.Layer
	bucket *s3.Client
}

// fromOutside is how Ceph names a bucket to those who are not of its account; elsewhere names are of the whole world.
const fromOutside = dataAccount + ":" + meshBucket

// attempt runs something forbidden, which the layer must deny.
func (w *wallsWorld) attempt(actor, what string, layer walls.Layer, evidence string, denied bool) {
	w.t.Helper()
	w.table.Add(walls.Row{Actor: actor, Attempt: what, Layer: layer, Held: denied, Evidence: evidence})
	if !denied {
		w.t.Errorf("%s: %s: not denied by %s: %s", actor, what, layer, evidence)
	}
}

// works runs something that the same credentials may do, so that what is denied beside it is denied for what it is.
func (w *wallsWorld) works(actor, what string, err error) {
	w.t.Helper()
	evidence := "done"
	if err != nil {
		evidence = err.Error()
		w.t.Errorf("%s: %s: %v", actor, what, err)
	}
	w.table.Add(walls.Row{Actor: actor, Attempt: what, Layer: walls.Nobody, Held: err == nil, Evidence: evidence})
}

func (h *thief) get(key string) error {
	out, err := h.bucket.GetObject(h.t.Context(), &s3.GetObjectInput{Bucket: aws.String(h.name), Key: aws.String(key)})
	if err == nil {
		out.Body.Close()
	}
	return err
}

func (h *thief) head(key string) error {
	_, err := h.bucket.HeadObject(h.t.Context(), &s3.HeadObjectInput{Bucket: aws.String(h.name), Key: aws.String(key)})
	return err
}

func (h *thief) put(key string) error {
	_, err := h.bucket.PutObject(h.t.Context(), &s3.PutObjectInput{Bucket: aws.String(h.name), Key: aws.String(key), Body: strings.NewReader("planted"), IfNoneMatch: aws.String("*")})
	return err
}

func (h *thief) list(prefix string) error {
	_, err := h.bucket.ListObjectsV2(h.t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(h.name), Prefix: aws.String(prefix)})
	return err
}

func (h *thief) remove(key string) error {
	_, err := h.bucket.DeleteObject(h.t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(h.name), Key: aws.String(key)})
	return err
}

// removeMany asks for one object within a list, which S3 answers one by one.
func (h *thief) removeMany(key string) error {
	out, err := h.bucket.DeleteObjects(h.t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String(h.name), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String(key)}}}})
	if err == nil && len(out.Errors) == 1 {
		code := aws.ToString(out.Errors[0].Code)
		return walls.InList(code)
	}
	return err
}

func (h *thief) copyTo(from, to string) error {
	_, err := h.bucket.CopyObject(h.t.Context(), &s3.CopyObjectInput{Bucket: aws.String(h.name), Key: aws.String(to), CopySource: aws.String(h.name + "/" + from)})
	return err
}

func (h *thief) parts(key string) error {
	_, err := h.bucket.CreateMultipartUpload(h.t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(h.name), Key: aws.String(key)})
	return err
}

func (h *thief) openToAll() error {
	document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::` + meshBucket + `/*"]}]}`
	_, err := h.bucket.PutBucketPolicy(h.t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String(h.name), Policy: aws.String(document)})
	return err
}

// denied is one forbidden request to the bucket.
func (h *thief) denied(what string, err error) {
	h.t.Helper()
	evidence, denied := walls.DeniedByBucket(err)
	h.attempt(h.actor, what, h.layer, evidence, denied)
}

// deniedRole is one role that the bucket's account does not let somebody into.
func (h *thief) deniedRole(what, role string) {
	h.t.Helper()
	_, err := h.assumeAt(h.t.Context(), h.at, h.in, h.own, &sts.AssumeRoleInput{RoleArn: aws.String(h.roles[role]), RoleSessionName: aws.String("thief-1")})
	evidence, denied := walls.DeniedBySTS(err)
	h.attempt(h.actor, what, h.layer, evidence, denied)
}

// treasure is what objects hold that thieves are after.
const treasure = "worth stealing"

// Keys of objects that exist, so that what denies them is a wall and not their absence.
const (
	ownKey       = meshCluster + "/data/" + ownShare + "/prod/known"
	neighbourKey = meshCluster + "/data/" + ownShare + "/analytics/known"
	otherKey     = meshCluster + "/data/" + otherShare + "/finance/known"
	metaKey      = meshCluster + "/meta/known"
	foreignKey   = "othercluster/data/" + ownShare + "/prod/known"
	outsideKey   = "_outside/canary"
	canaryKey    = meshCluster + "/_isthmus/canary"
)

// thievesAtTheBucket holds the walls of the bucket against everybody who has something.
func (w *wallsWorld) thievesAtTheBucket() {
	w.t.Helper()
	w.producerAtTheBucket()
	w.fetcherAtTheBucket()
	w.strangerAtTheBucket()
}

func (w *wallsWorld) thiefWith(actor, group, role string, in walls.VPC) *thief {
	w.t.Helper()
	h := &thief{wallsWorld: w, actor: actor, in: in, own: w.keys[group], name: meshBucket, at: w.gateway(), layer: walls.S3}
	h.bucket = w.bucketAt(h.at, in, static(w.mustAssume(in, h.own, w.roles[role], group+"-thief")))
	return h
}

func (w *wallsWorld) producerAtTheBucket() {
	w.t.Helper()
	h := w.thiefWith("produce", "prod", ownShare+"/prod/produce", w.net.A)
	fresh := meshCluster + "/data/" + ownShare + "/prod/thief"
	h.works(h.actor, "put a new object under its own group's prefix", h.put(fresh))
	h.denied("GET the object that it has just put", h.get(fresh))
	h.denied("GET a segment of its own share", h.get(ownKey))
	h.denied("HEAD a segment of its own share", h.head(ownKey))
	h.denied("LIST its own group's prefix", h.list(meshCluster+"/data/"+ownShare+"/prod/"))
	h.denied("LIST the bucket", h.list(""))
	h.denied("DELETE a segment of its own", h.remove(ownKey))
	h.denied("DELETE a segment of its own within a list", h.removeMany(ownKey))
	h.denied("COPY a segment to where it may write", h.copyTo(ownKey, fresh+"-copy"))
	h.denied("PUT under another group's prefix", h.put(neighbourKey+"-planted"))
	h.denied("PUT into another share", h.put(otherKey+"-planted"))
	h.denied("PUT into another cluster", h.put(foreignKey+"-planted"))
	h.denied("PUT among the control plane's objects", h.put(metaKey+"-planted"))
	h.denied("PUT outside of everything", h.put(outsideKey+"-planted"))
	h.denied("open the bucket to all by a bucket policy", h.openToAll())
	h.deniedRole("assume the role of analytics", ownShare+"/analytics/fetch")
	h.deniedRole("assume the role of jobs", ownShare+"/jobs/jobs")
	h.deniedRole("assume another share's produce role", otherShare+"/finance/produce")
}

func (w *wallsWorld) fetcherAtTheBucket() {
	w.t.Helper()
	h := w.thiefWith("fetch", "analytics", ownShare+"/analytics/fetch", w.net.B)
	h.works(h.actor, "get a segment of its share", h.get(ownKey))
	h.works(h.actor, "get the canary of its cluster", h.get(canaryKey))
	h.denied("PUT into its share", h.put(neighbourKey+"-planted"))
	h.denied("PUT parts of an object into its share", h.parts(neighbourKey+"-planted"))
	h.denied("DELETE a segment of its share", h.remove(ownKey))
	h.denied("LIST its share", h.list(meshCluster+"/data/"+ownShare+"/"))
	h.denied("LIST the bucket", h.list(""))
	h.denied("GET an object of another share whose key it knows", h.get(otherKey))
	h.denied("HEAD an object of another share whose key it knows", h.head(otherKey))
	h.denied("GET an object of another cluster", h.get(foreignKey))
	h.denied("GET the control plane's objects", h.get(metaKey))
	h.denied("GET what lies outside of everything", h.get(outsideKey))
	h.deniedRole("assume the role of production", ownShare+"/prod/produce")
	h.deniedRole("assume the role of jobs", ownShare+"/jobs/jobs")
}

func (w *wallsWorld) strangerAtTheBucket() {
	w.t.Helper()
	jobs := w.thiefWith("jobs", "jobs", ownShare+"/jobs/jobs", w.net.Services)
	jobs.works(jobs.actor, "list its share", jobs.list(meshCluster+"/data/"+ownShare+"/"))
	jobs.works(jobs.actor, "delete an object of its share", jobs.remove(meshCluster+"/data/"+ownShare+"/prod/thief"))
	jobs.denied("GET an object of another share", jobs.get(otherKey))
	jobs.denied("LIST the bucket", jobs.list(""))

	h := &thief{wallsWorld: w, actor: "stranger", in: w.net.A, own: w.keys["stranger"], name: fromOutside, at: w.gateway(), layer: walls.S3}
	h.bucket = w.bucketAt(h.at, h.in, static(h.own.Session()))
	_, err := h.bucket.ListBuckets(w.t.Context(), &s3.ListBucketsInput{})
	h.works(h.actor, "list the buckets of its own account", err)
	h.denied("GET a segment", h.get(ownKey))
	h.denied("HEAD a segment", h.head(ownKey))
	h.denied("LIST the bucket", h.list(""))
	h.denied("PUT under production's prefix", h.put(ownKey+"-planted"))
	h.denied("DELETE a segment", h.remove(ownKey))
	h.deniedRole("assume the role of production", ownShare+"/prod/produce")
	h.deniedRole("assume the role of analytics", ownShare+"/analytics/fetch")
	nobody := &thief{wallsWorld: w, actor: "stranger without a key", in: w.net.A, name: fromOutside, at: w.gateway(), layer: walls.S3}
	nobody.bucket = w.bucketAt(nobody.at, nobody.in, aws.AnonymousCredentials{})
	nobody.denied("GET a segment", nobody.get(ownKey))
	nobody.denied("LIST the bucket", nobody.list(""))
}
