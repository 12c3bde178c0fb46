package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

// labCA signs the certificates by which the agents and the operator of these tests prove who they are.
type labCA struct {
	t    *testing.T
	dir  string
	file string // in PEM
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	made int64
}

func newLabCA(t *testing.T) *labCA {
	t.Helper()
	ca := &labCA{t: t, dir: t.TempDir()}
	ca.cert, ca.key, ca.file, _ = ca.issue("ca", &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{{Scheme: "spiffe", Host: "lab"}},
	})
	return ca
}

// issue signs a certificate and writes it and its key.
func (ca *labCA) issue(name string, template *x509.Certificate) (_ *x509.Certificate, key *ecdsa.PrivateKey, certFile, keyFile string) {
	ca.t.Helper()
	must := func(err error) {
		if err != nil {
			ca.t.Fatal(err)
		}
	}
	ca.made++
	template.SerialNumber, template.Subject = big.NewInt(ca.made), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	parent, signer := ca.cert, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	file := filepath.Join(ca.dir, strings.ReplaceAll(name, "/", "-"))
	certFile, keyFile = file+".crt", file+".key"
	must(os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	return cert, key, certFile, keyFile
}

// identity is the files by which spiffe://lab/NAME is proved.
func (ca *labCA) identity(name string) (certFile, keyFile string) {
	ca.t.Helper()
	_, _, certFile, keyFile = ca.issue(name, &x509.Certificate{
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "lab", Path: "/" + name}},
	})
	return certFile, keyFile
}

// walledLands is a cluster with walls: a produce-only group and a fetch-only one, two shares in two buckets, and operators' commands
// that log in.
type walledLands struct {
	*lands
	login []string // what an operator types beside --control
}

// startWalled starts a cluster with the walls of a file, and two agents of each group.
func startWalled(t *testing.T, file string) *walledLands {
	t.Helper()
	ca := newLabCA(t)
	dir := t.TempDir()
	l := startControlAlone(t, dir, "file://"+filepath.Join(dir, "bucket"), func(c *controlConfig) {
		c.Admission.ClientCAs = []string{"lab=" + ca.file}
	})
	w := &walledLands{lands: l}
	pin := l.control.node.Pin()
	cert, key := ca.identity("operator")
	w.login = []string{"--login-cert", cert, "--login-key", key, "--control-pin", pin}
	walls := filepath.Join(dir, "walls.yaml")
	l.must(os.WriteFile(walls, []byte(file), 0o600))
	w.run("binding", "apply", "-f", walls)
	for _, a := range []struct{ name, group, role string }{
		{"prod-1", "prod", "produce"}, {"prod-2", "prod", "produce"}, {"analytics-1", "analytics", "fetch"}, {"analytics-2", "analytics", "fetch"},
	} {
		cert, key := ca.identity(a.group + "/" + a.name)
		l.addAgent(a.name, a.group, rolesOf(a.role), func(c *agentConfig) {
			c.Login.Way, c.Login.Cert, c.Login.Key, c.Login.Pin = "mtls", cert, key, pin
		})
	}
	return w
}

// run runs an operator's command as the operator, and expects it to work.
func (w *walledLands) run(args ...string) (stdout string) {
	w.t.Helper()
	return w.operate(append(args, w.login...)...)
}

const walls = `
shares:
- {name: ledger, bucket: "mem://TEST"}
groups:
- {name: prod, roles: [produce]}
- {name: analytics, roles: [fetch], note: "another account"}
grants:
- {name: p1, group: prod, share: default, access: produce, create: true}
- {name: p2, group: prod, share: ledger, access: produce, topic: ledger-, prefix: true, create: true}
- {name: a1, group: analytics, share: default, access: fetch, topic: events}
- {name: a2, group: analytics, share: ledger, access: fetch, topic: ledger-paid-, prefix: true}
bindings:
- name: prod
  match: {method: mtls, uri: "spiffe://lab/prod/*"}
  grant: {cluster: isthmus, group: prod, roles: [produce]}
- name: analytics
  match: {uri: "spiffe://lab/analytics/*"}
  grant: {group: analytics, roles: [fetch]}
- name: operator
  match: {uri: "spiffe://lab/operator"}
  grant: {admin: true}
`

// TestWallsStandBetweenTwoGroups lets a group write to two shares in two buckets and another read some of their topics. Grants are
// taken from under a consumer that reads, by hand and by the clock, and given back; producers notice nothing.
func TestWallsStandBetweenTwoGroups(t *testing.T) {
	t.Parallel()
	bucket := strings.ReplaceAll(t.Name(), "/", "-")
	t.Cleanup(func() { memstore.Forget(bucket) })
	w := startWalled(t, strings.Replace(walls, "TEST", bucket, 1))
	w.applyAgain()

	// Topics belong to the share of the grant that lets them be created, and one agent writes to both buckets.
	producer := w.client("prod", kgo.AllowAutoTopicCreation())
	w.run("topic", "create", "ledger-open-eu", "--share", "ledger")
	for _, name := range []string{"events", "metrics", "ledger-paid-eu", "ledger-open-eu"} {
		w.produce(producer, texts(name, numbered(name, 20)...)...)
	}
	for name, share := range map[string]string{"events": "default", "metrics": "default", "ledger-paid-eu": "ledger", "ledger-open-eu": "ledger"} {
		var topic struct{ Share string }
		w.must(json.Unmarshal([]byte(w.run("topic", "describe", name, "-o", "json")), &topic))
		if topic.Share != share {
			t.Errorf("topic %s is of share %q, want %q", name, topic.Share, share)
		}
	}
	w.objectsLie("default", "file://"+filepath.Join(w.dir, "bucket"))
	w.objectsLie("ledger", "mem://"+bucket)
	w.shareIsForGood()
	w.readersSeeWhatIsGranted()
	w.producersAndReadersKeepApart()
	w.grantTakenFromUnderAReader(producer)
	w.grantRunsOut(producer)
	w.bindingTaken(producer)
	w.producersLoseAGrant(producer)
}

// applyAgain applies the file a second time, which changes nothing.
func (w *walledLands) applyAgain() {
	w.t.Helper()
	var done []applied
	w.must(json.Unmarshal([]byte(w.run("binding", "apply", "-f", filepath.Join(w.dir, "walls.yaml"), "-o", "json")), &done))
	if len(done) != 10 || slices.ContainsFunc(done, func(d applied) bool { return d.Result != "unchanged" }) {
		w.t.Errorf("applied again: %+v", done)
	}
	refusal(w.t, 1, []string{"share", "list", "--control", w.controlAddr()}, "takes logins by mtls", "--login")
}

// objectsLie expects that a share's objects are in its bucket, and no others.
func (w *walledLands) objectsLie(share, bucket string) {
	w.t.Helper()
	store, err := openStore(w.ctx, bucket)
	w.must(err)
	defer store.Close()
	page, _, err := store.List(w.ctx, "isthmus/data/", "", 1000)
	w.must(err)
	if len(page) == 0 {
		w.t.Errorf("no objects in %s", bucket)
	}
	for _, o := range page {
		if !strings.HasPrefix(o.Key, "isthmus/data/"+share+"/prod/") {
			w.t.Errorf("object %s in the bucket of share %s", o.Key, share)
		}
	}
}

// shareIsForGood tries to move a topic, and to make one in a share that does not exist.
func (w *walledLands) shareIsForGood() {
	w.t.Helper()
	if out := w.run("topic", "describe", "events"); !strings.Contains(out, "share  default") {
		w.t.Errorf("described without its share:\n%s", out)
	}
	with := append(w.login, "--control", w.controlAddr())
	refusal(w.t, 1, append([]string{"topic", "alter", "events", "--config", "isthmus.share=ledger"}, with...), "for good", "ledger")
	refusal(w.t, 1, append([]string{"topic", "create", "lost", "--share", "nowhere"}, with...), `there is no share "nowhere"`)
}

// consumer reads topics at group analytics from their beginning.
func (w *walledLands) consumer(topics ...string) *kgo.Client {
	w.t.Helper()
	return w.client("analytics", kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
}

// readersSeeWhatIsGranted reads what is granted of both shares, and finds nothing else.
func (w *walledLands) readersSeeWhatIsGranted() {
	w.t.Helper()
	for _, name := range []string{"events", "ledger-paid-eu"} {
		if got := values(w.poll(w.consumer(name), 20)); !slices.Equal(got, numbered(name, 20)) {
			w.t.Errorf("%s: read %v", name, got)
		}
	}
	shown, err := w.admin("analytics").ListTopics(w.ctx)
	w.must(err)
	if names := shown.Names(); !slices.Equal(names, []string{"events", "ledger-paid-eu"}) {
		w.t.Errorf("analytics is shown %v", names)
	}
	shown, err = w.admin("analytics").ListTopics(w.ctx, "metrics", "ledger-open-eu", "nowhere")
	w.must(err)
	for _, d := range shown {
		if !errors.Is(d.Err, kerr.UnknownTopicOrPartition) || len(d.Partitions) != 0 {
			w.t.Errorf("analytics asks for %s: %+v", d.Topic, d)
		}
	}
	// A client that has got hold of a topic's id is denied.
	var topic struct{ ID string }
	w.must(json.Unmarshal([]byte(w.run("topic", "describe", "metrics", "-o", "json")), &topic))
	if p := w.fetchByName("metrics"); p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		w.t.Errorf("fetched by name: code %d", p.ErrorCode)
	}
}

// fetchByName asks an agent of analytics for a topic's first partition, as a client that was told of it elsewhere.
func (w *walledLands) fetchByName(topic string) kmsg.FetchResponseTopicPartition {
	w.t.Helper()
	request := fetchRequest(topic, 0, 0)
	request.MaxWaitMillis = 10
	return w.dial("analytics-1").fetch(12, request)[0]
}

// producersAndReadersKeepApart tries what belongs to the other group.
func (w *walledLands) producersAndReadersKeepApart() {
	w.t.Helper()
	t, prod, analytics := w.t, w.admin("prod"), w.admin("analytics")
	commit := func(a *kadm.Client, group string) error {
		return a.CommitAllOffsets(w.ctx, group, kadm.OffsetsFromFetches(kgo.Fetches{{Topics: []kgo.FetchTopic{{
			Topic: "events", Partitions: []kgo.FetchPartition{{Partition: 0, Records: []*kgo.Record{{Topic: "events", Offset: 4}}}},
		}}}}))
	}
	for what, got := range map[string]error{
		"a consumer group under its own prefix":      commit(analytics, "analytics-dashboard"),
		"a consumer group under another":             commit(analytics, "dashboard"),
		"a consumer group of producers":              commit(prod, "prod-dashboard"),
		"deletion of a topic by those who read it":   errOf(analytics.DeleteTopics(w.ctx, "events")),
		"deletion of a topic by those who write it":  errOf(prod.DeleteTopics(w.ctx, "events")),
		"deletion of a topic that is not there":      errOf(analytics.DeleteTopics(w.ctx, "metrics")),
		"retention changed by those who read":        alterErr(analytics.AlterTopicConfigs(w.ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("1")}}, "events")),
		"a topic created by name by those who write": createErr(prod.CreateTopic(w.ctx, 1, -1, nil, "another")),
		"a producer id for those who read":           initErr(w, "analytics-1"),
		"a producer id for those who write":          initErr(w, "prod-1"),
	} {
		want := map[string]error{
			"a consumer group under another":             kerr.GroupAuthorizationFailed,
			"a consumer group of producers":              kerr.GroupAuthorizationFailed,
			"deletion of a topic by those who read it":   kerr.TopicAuthorizationFailed,
			"deletion of a topic by those who write it":  kerr.TopicAuthorizationFailed,
			"deletion of a topic that is not there":      kerr.UnknownTopicOrPartition,
			"retention changed by those who read":        kerr.TopicAuthorizationFailed,
			"a topic created by name by those who write": kerr.TopicAuthorizationFailed,
			"a producer id for those who read":           kerr.ClusterAuthorizationFailed,
		}[what]
		if !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	groups, err := analytics.ListGroups(w.ctx)
	w.must(err)
	if names := groups.Groups(); !slices.Equal(names, []string{"analytics-dashboard"}) {
		t.Errorf("analytics is shown the consumer groups %v", names)
	}
}

func errOf(all kadm.DeleteTopicResponses, err error) error { return errors.Join(err, all.Error()) }

func alterErr(all kadm.AlterConfigsResponses, err error) error {
	for _, r := range all {
		err = errors.Join(err, r.Err)
	}
	return err
}

func createErr(r kadm.CreateTopicResponse, err error) error { return errors.Join(err, r.Err) }

func initErr(w *walledLands, agent string) error {
	w.t.Helper()
	return kerr.ErrorForCode(call[*kmsg.InitProducerIDResponse](w.dial(agent), 4, kmsg.NewPtrInitProducerIDRequest()).ErrorCode)
}

// tailing reads a topic while it is written, and keeps what it hears.
type tailing struct {
	client *kgo.Client
	mu     sync.Mutex
	values []string
	faults []error
}

func (w *walledLands) tail(topic string) *tailing {
	w.t.Helper()
	r := &tailing{client: w.consumer(topic)}
	ctx, cancel := context.WithCancel(w.ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			fetches := r.client.PollFetches(ctx)
			r.mu.Lock()
			fetches.EachError(func(_ string, _ int32, err error) {
				if ctx.Err() == nil {
					r.faults = append(r.faults, err)
				}
			})
			r.values = append(r.values, values(fetches.Records())...)
			r.mu.Unlock()
		}
	})
	w.t.Cleanup(func() {
		cancel()
		reading.Wait()
	})
	return r
}

func (r *tailing) heard(value string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.values, value)
}

func (r *tailing) denied() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.faults, func(err error) bool { return errors.Is(err, kerr.TopicAuthorizationFailed) })
}

// forget forgets the errors so far.
func (r *tailing) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// grantTakenFromUnderAReader removes the grant of a topic that is being read, and gives it back.
func (w *walledLands) grantTakenFromUnderAReader(producer *kgo.Client) {
	w.t.Helper()
	t := w.t
	events, paid := w.tail("events"), w.tail("ledger-paid-eu")
	w.produce(producer, texts("events", "before")...)
	eventually(t, "the reader is at the tail", func() bool { return events.heard("before") })
	if p := w.fetchByName("events"); p.ErrorCode != 0 {
		t.Errorf("before: code %d", p.ErrorCode)
	}
	// A fetch that waits at the end when the grant is taken is answered too.
	waiting := w.dial("analytics-2")
	waiting.send(12, fetchRequest("events", 0, 21))

	w.run("grant", "delete", "a1")
	w.produce(producer, texts("events", "behind the wall")...)
	eventually(t, "the reader is denied", events.denied)
	if p := fetched(t, receive[*kmsg.FetchResponse](waiting)); p[0].ErrorCode != 29 || len(p[0].RecordBatches) > 0 {
		t.Errorf("the fetch that waited: code %d, %d bytes", p[0].ErrorCode, len(p[0].RecordBatches))
	}
	for range 3 {
		if p := w.fetchByName("events"); p.ErrorCode != 29 || len(p.RecordBatches) > 0 {
			t.Errorf("the next fetch: code %d, %d bytes", p.ErrorCode, len(p.RecordBatches))
		}
	}
	if events.heard("behind the wall") {
		t.Error("read from behind the wall")
	}
	w.produce(producer, texts("ledger-paid-eu", "meanwhile")...)
	eventually(t, "another grant is as it was", func() bool { return paid.heard("meanwhile") })
	eventually(t, "the topic has left metadata", func() bool {
		shown, err := w.admin("analytics").ListTopics(w.ctx)
		return err == nil && !shown.Has("events")
	})
	w.run("grant", "create", "a1", "--group", "analytics", "--access", "fetch", "--topic", "events")
	eventually(t, "the reader goes on where it was", func() bool { return events.heard("behind the wall") })
	paid.mu.Lock()
	defer paid.mu.Unlock()
	if len(paid.faults) > 0 {
		t.Errorf("a reader whose grant stood: %v", paid.faults)
	}
}

// grantRunsOut lets the clock take a grant, with nobody doing anything.
func (w *walledLands) grantRunsOut(producer *kgo.Client) {
	w.t.Helper()
	paid := w.tail("ledger-paid-eu")
	eventually(w.t, "the reader is at the tail", func() bool { return paid.heard("meanwhile") })
	paid.forget()
	w.run("grant", "alter", "a2", "--until", "1s")
	eventually(w.t, "the reader is denied", paid.denied)
	w.produce(producer, texts("ledger-paid-eu", "too late")...)
	if p := w.fetchByName("ledger-paid-eu"); p.ErrorCode != 29 {
		w.t.Errorf("fetched after the grant ran out: code %d", p.ErrorCode)
	}
	if out := w.run("grant", "list"); !strings.Contains(out, "(over)") {
		w.t.Errorf("grants:\n%s", out)
	}
	if paid.heard("too late") {
		w.t.Error("read after the grant ran out")
	}
}

// bindingTaken removes the binding of the readers, whose agents stay, and gives it back.
func (w *walledLands) bindingTaken(producer *kgo.Client) {
	w.t.Helper()
	t := w.t
	events := w.tail("events")
	eventually(t, "the reader is at the tail", func() bool { return events.heard("behind the wall") })
	w.run("binding", "delete", "analytics")
	eventually(t, "the reader is denied", events.denied)
	eventually(t, "the agents say that they are not let in", func() bool {
		err := errors.Join(w.running("analytics-1").readiness(), w.running("analytics-2").readiness())
		return err != nil && strings.Count(err.Error(), "not let in") == 2
	})
	w.produce(producer, texts("events", "without a binding")...)
	if p := w.fetchByName("events"); p.ErrorCode != 29 || len(p.RecordBatches) > 0 {
		t.Errorf("fetched without a binding: code %d, %d bytes", p.ErrorCode, len(p.RecordBatches))
	}
	if out := w.run("session", "list", "--group", "analytics", "-o", "json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("sessions of a group without a binding: %s", out)
	}
	w.run("binding", "apply", "-f", filepath.Join(w.dir, "walls.yaml"))
	eventually(t, "the reader goes on where it was", func() bool { return events.heard("without a binding") })
	eventually(t, "the agents are ready", func() bool {
		return errors.Join(w.running("analytics-1").readiness(), w.running("analytics-2").readiness()) == nil
	})
}

// producersLoseAGrant takes one of two grants of those who write, and then their binding, while they write steadily to the
// share of the other.
func (w *walledLands) producersLoseAGrant(producer *kgo.Client) {
	w.t.Helper()
	t := w.t
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	steady, client := make(chan error, 1), w.client("prod")
	go func() {
		for ctx.Err() == nil {
			if err := client.ProduceSync(w.ctx, texts("metrics", "steady")...).FirstErr(); err != nil {
				steady <- err
				return
			}
		}
		steady <- nil
	}()
	w.run("grant", "delete", "p2")
	if err := producer.ProduceSync(w.ctx, texts("ledger-open-eu", "refused")...).FirstErr(); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("produced without a grant: %v", err)
	}
	w.run("grant", "create", "p2", "--group", "prod", "--access", "produce", "--share", "ledger", "--prefix", "ledger-")
	eventually(t, "the producer is let in again", func() bool {
		return producer.ProduceSync(w.ctx, texts("ledger-open-eu", "taken")...).FirstErr() == nil
	})
	cancel()
	if err := <-steady; err != nil {
		t.Errorf("a producer whose grant stood: %v", err)
	}
	w.run("binding", "delete", "prod")
	if err := producer.ProduceSync(w.ctx, texts("metrics", "refused")...).FirstErr(); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("produced without a binding: %v", err)
	}
	w.run("binding", "apply", "-f", filepath.Join(w.dir, "walls.yaml"))
	eventually(t, "the producer's agents are let in again", func() bool {
		return producer.ProduceSync(w.ctx, texts("metrics", "taken")...).FirstErr() == nil
	})
}

// TestOperatorsBuildWalls types every command about walls on a cluster that has none yet.
func TestOperatorsBuildWalls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := startControlAlone(t, dir, "file://"+filepath.Join(dir, "bucket"))
	at := []string{"--control", l.controlAddr()}
	refused := func(words []string, args ...string) {
		t.Helper()
		refusal(t, 1, append(args, at...), words...)
	}
	says := func(want string, args ...string) {
		t.Helper()
		if got := l.operate(args...); !strings.Contains(got, want) {
			t.Errorf("isthmus %s lacks %q:\n%s", strings.Join(args, " "), want, got)
		}
	}
	says("default", "share", "list")
	says("created share orders", "share", "create", "orders", "--bucket", "mem://orders", "--region", "eu-west-1", "--role", "prod/produce=arn:aws:iam::111111111111:role/p")
	says("isthmus/prod", "share", "describe", "orders") // the external id
	refused([]string{"there already", "share alter orders"}, "share", "create", "orders", "--bucket", "mem://orders")
	says("altered share orders", "share", "alter", "orders", "--remove-role", "prod/produce", "--role", "analytics/fetch=arn:aws:iam::111111111111:role/f,mine")
	says("mine", "share", "describe", "orders")
	refused([]string{"no role of prod/produce"}, "share", "alter", "orders", "--remove-role", "prod/produce")
	refused([]string{`"ordres"`, "did you mean orders?", "isthmus share list"}, "share", "describe", "ordres")
	says("created group prod", "group", "create", "prod", "--roles", "produce", "--zones", "a,b", "--bytes-in", "1MiB", "--note", "first")
	says("1048576", "group", "describe", "prod")
	says("altered group prod", "group", "alter", "prod", "--requests", "100", "--note", "second")
	says("second", "group", "list")
	says("100", "group", "describe", "prod")
	says("created grant prod-produce-orders", "grant", "create", "--group", "prod", "--access", "produce", "--share", "orders", "--create-topics")
	refused([]string{"there already", "give this one a name"}, "grant", "create", "--group", "prod", "--access", "produce", "--share", "orders")
	says("created grant some", "grant", "create", "some", "--group", "audit", "--access", "fetch", "--share", "orders", "--prefix", "paid-", "--until", "8h")
	says("paid-*", "grant", "list")
	says("altered grant some", "grant", "alter", "some", "--until", "never", "--topic", "paid-eu")
	says("for good", "grant", "describe", "some")
	refused([]string{`"orderz"`, "did you mean orders?"}, "grant", "create", "--group", "a", "--access", "fetch", "--share", "orderz")
	refused([]string{"orders"}, "share", "delete", "orders")
	says("deleted grant some", "grant", "delete", "some")
	says("deleted grant prod-produce-orders", "grant", "delete", "prod-produce-orders")
	says("deleted share orders", "share", "delete", "orders")
	says("deleted group prod", "group", "delete", "prod")
	var found []struct{ Kind, Detail string }
	for line := range strings.Lines(l.operate("audit", "-o", "json", "--limit", "100")) {
		var e struct{ Kind, Detail string }
		l.must(json.Unmarshal([]byte(line), &e))
		found = append(found, e)
	}
	if len(found) < 11 || found[0].Kind != "change" {
		t.Errorf("audit: %+v", found)
	}
	says("KIND", "audit", "--since", "1h", "--limit", "3")
	l.firstBinding(at)
}

// firstBinding ends the time in which anybody is admitted.
func (l *lands) firstBinding(at []string) {
	l.t.Helper()
	refusal(l.t, 1, append([]string{"binding", "create", "agents", "--uri", "spiffe://lab/a", "--group", "a", "--roles", "fetch"}, at...), "admin")
	l.addAgent("open-1", "prod", rolesOf("produce"))
	producer := l.client("prod", kgo.AllowAutoTopicCreation())
	l.produce(producer, texts("before", "the walls")...)
	code, stdout, stderr := command(l.t, append([]string{"binding", "create", "me", "--uri", "spiffe://lab/me", "--admin"}, at...)...)
	if code != 0 || !strings.Contains(stdout, "created binding me") || !strings.Contains(stderr, "first binding") {
		l.t.Fatalf("code %d\n%s%s", code, stdout, stderr)
	}
	refusal(l.t, 1, append([]string{"binding", "list"}, at...), "takes logins by mtls", "--login")
	// Agents that were admitted openly are shut out too.
	eventually(l.t, "the agent says that it is not let in", func() bool {
		err := l.running("open-1").readiness()
		return err != nil && strings.Contains(err.Error(), "not let in")
	})
	if err := producer.ProduceSync(l.ctx, texts("before", "refused")...).FirstErr(); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		l.t.Errorf("produced after the first binding: %v", err)
	}
	// The machine of the control node itself is never shut out.
	admin := filepath.Join(l.dir, "admin")
	if code, _, stderr := command(l.t, "control", "admin-cert", "--data-dir", filepath.Join(l.dir, "control"), "--out", admin); code != 0 {
		l.t.Fatal(stderr)
	}
	login := append(at, "--control-ca", filepath.Join(admin, "ca.crt"), "--login-cert", filepath.Join(admin, "admin.crt"), "--login-key", filepath.Join(admin, "admin.key"))
	var all bytes.Buffer
	for _, line := range [][]string{
		{"binding", "list"}, {"binding", "describe", "me"}, {"binding", "create", "agents", "--uri", "spiffe://lab/a", "--group", "a", "--roles", "fetch"},
		{"binding", "alter", "agents", "--max-agents", "7"}, {"binding", "describe", "agents"}, {"binding", "delete", "agents"},
	} {
		code, stdout, stderr := command(l.t, append(line, login...)...)
		if code != 0 {
			l.t.Fatalf("isthmus %s: code %d, %s", strings.Join(line, " "), code, stderr)
		}
		all.WriteString(stdout)
	}
	for _, want := range []string{"spiffe://lab/me", "created binding agents", "a-", "altered binding agents", "7", "deleted binding agents"} {
		if !strings.Contains(all.String(), want) {
			l.t.Errorf("bindings lack %q:\n%s", want, all.String())
		}
	}
}
