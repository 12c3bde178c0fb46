package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

const (
	thiefPause = 5 * time.Second
	thiefTime  = 5 * time.Second // of one attempt
	// thiefSilence is how long a run may be in which no attempt was answered: a round is begun as soon as there is something to
	// steal, and ends in less.
	thiefSilence = 2 * time.Minute
)

// The layers that deny.
const (
	layerS3      = "S3 policy, by eval"
	layerSTS     = "trust policy, by eval"
	layerControl = "control plane"
)

// What came of an attempt. One that found nobody to answer it, because an agent has just been killed, proves nothing.
const (
	thiefDenied     = "denied"
	thiefAllowed    = "allowed"
	thiefUnanswered = "no answer"
)

// thiefCount is what --output json says of the thief.
type thiefCount struct {
	Attempts int64 `json:"attempts"` // that were answered
	Denied   int64 `json:"denied"`
}

// thiefRow is an attempt as the page shows it.
type thiefRow struct {
	Who    string `json:"who"`
	What   string `json:"what"`
	Layer  string `json:"layer"`
	Result string `json:"result"`
	Answer string `json:"answer"`
}

// thief has stolen what the demo's agents have: their roles, and their connections to the control plane.
// Each attempt is a real request with those.
type thief struct {
	walls    *demoWalls
	cluster  *localCluster
	log      *slog.Logger
	buckets  map[string]*s3.Client // by group
	outside  *s3.Client            // the stranger's
	sts      *sts.Client           // the stranger's
	stranger loginConfig

	mu      sync.Mutex
	rows    []thiefRow // of the last round
	counted thiefCount
}

func newThief(ctx context.Context, d *demo, log *slog.Logger) (*thief, error) {
	w := d.walls
	t := &thief{walls: w, cluster: d.cluster, log: log, buckets: map[string]*s3.Client{}, stranger: w.login(d.dir, d.cluster.controlAddr())}
	t.stranger.Way, t.stranger.own = identity.MethodSigV4, identity.NewSigV4Source(w.stranger, demoRegion, time.Now)
	for _, g := range demoGroups {
		c, err := w.assume(ctx, w.own[g.name], w.world.RoleARN(demoDataAccount, g.shareRole()), g.externalID(), g.name, "thief")
		if err != nil {
			return nil, err
		}
		t.buckets[g.name] = w.s3(c)
	}
	t.outside = w.s3(w.stranger)
	t.sts = sts.New(sts.Options{Region: demoRegion, BaseEndpoint: &w.url, Credentials: w.stranger})
	return t, nil
}

func (w *demoWalls) s3(c aws.CredentialsProvider) *s3.Client {
	return s3.New(s3.Options{Region: demoRegion, BaseEndpoint: &w.url, Credentials: c, UsePathStyle: true})
}

// attempt is one thing that must be denied. Its error says how it was.
type attempt struct {
	who, what, layer string
	try              func(context.Context) error
}

// run tries everything, again and again, until ctx ends.
func (t *thief) run(ctx context.Context) {
	for {
		pause := thiefPause
		if stolen := t.loot(); stolen != "" {
			t.round(ctx, stolen)
		} else {
			pause = 100 * time.Millisecond // there will be something soon
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// loot is the key of an object that is there; empty: there is none yet.
func (t *thief) loot() string {
	objects, _ := t.cluster.recent()
	if len(objects) == 0 {
		return ""
	}
	return objects[len(objects)-1].Key
}

func (t *thief) round(ctx context.Context, key string) {
	var rows []thiefRow
	for _, a := range t.attempts(key) {
		limited, cancel := context.WithTimeout(ctx, thiefTime)
		answer, result := judge(a.try(limited))
		cancel()
		if ctx.Err() != nil {
			return
		}
		if result == thiefAllowed {
			t.log.Error("a thief was let in", "who", a.who, "what", a.what, "layer", a.layer)
		}
		rows = append(rows, thiefRow{Who: a.who, What: a.what, Layer: a.layer, Result: result, Answer: answer})
		t.count(result)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = rows
}

func (t *thief) count(result string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch result {
	case thiefDenied:
		t.counted.Attempts++
		t.counted.Denied++
	case thiefAllowed:
		t.counted.Attempts++
	}
}

func (t *thief) counts() thiefCount {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counted
}

func (t *thief) last() []thiefRow {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.rows)
}

// denial is Kafka's way to say no.
type denial int16

func (d denial) Error() string { return fmt.Sprint(kerr.ErrorForCode(int16(d))) }

// denials are the codes of the walls. Others are no denials: a topic may be unknown for many reasons.
var denials = []denial{29, 30, 31, 53} // topic, group, cluster and transactional id: authorization failed

// judge says what came of an attempt: only an answer that denies it is a denial.
func judge(err error) (answer, result string) {
	var code denial
	var response *smithyhttp.ResponseError
	var api smithy.APIError
	switch {
	case err == nil:
		return "it was done", thiefAllowed
	case errors.As(err, &code):
		text, _, _ := strings.Cut(code.Error(), ":")
		if slices.Contains(denials, code) {
			return text, thiefDenied
		}
		return text, thiefUnanswered
	case errors.Is(err, client.ErrDenied):
		return "not allowed", thiefDenied
	case errors.As(err, &response) && errors.As(err, &api):
		answer = fmt.Sprintf("%d %s", response.HTTPStatusCode(), api.ErrorCode())
		if response.HTTPStatusCode() == http.StatusForbidden && api.ErrorCode() == "AccessDenied" {
			return answer, thiefDenied
		}
		return answer, thiefUnanswered
	}
	answer = err.Error()
	return answer[:min(len(answer), 120)], thiefUnanswered
}

// attempts are what is tried in one round; key is of an object that production has stored.
func (t *thief) attempts(key string) []attempt {
	prod, analytics := t.buckets["prod"], t.buckets["analytics"]
	beside := demoLayout("").Key("data/" + demoShare + "/analytics/planted")
	under := demoLayout("").Key("data/" + demoShare + "/prod/planted")
	const produceRole, fetchRole, stranger = "produce role", "fetch role", "stranger"
	const produceAgent, fetchAgent = "produce agent", "fetch agent"
	return []attempt{
		{produceRole, "GET an object that it has stored itself", layerS3, getObject(prod, key)},
		{produceRole, "LIST the bucket", layerS3, listObjects(prod)},
		{produceRole, "DELETE an object", layerS3, deleteObject(prod, key)},
		{produceRole, "PUT under another group's prefix", layerS3, putObject(prod, beside, true)},
		{produceRole, "overwrite an object of its own", layerS3, putObject(prod, key, false)},
		{produceAgent, "Plan: ask where records lie", layerControl, t.plan},
		{produceAgent, "DeleteTopics", layerControl, t.deleteTopic("prod")},
		{fetchRole, "PUT a new object", layerS3, putObject(analytics, under, true)},
		{fetchRole, "overwrite an object that it reads", layerS3, putObject(analytics, key, false)},
		{fetchRole, "DELETE an object", layerS3, deleteObject(analytics, key)},
		{fetchRole, "LIST the bucket", layerS3, listObjects(analytics)},
		{fetchAgent, "Commit a record", layerControl, t.commit},
		{fetchAgent, "DeleteTopics", layerControl, t.deleteTopic("analytics")},
		{stranger, "GET an object", layerS3, getObject(t.outside, key)},
		{stranger, "assume analytics' role, knowing its external id", layerSTS, t.assume},
		{stranger, "log in as an agent of analytics", layerControl, t.logIn},
	}
}

func getObject(c *s3.Client, key string) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(demoBucket), Key: &key})
		if err != nil {
			return err
		}
		return out.Body.Close()
	}
}

func listObjects(c *s3.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(demoBucket)})
		return err
	}
}

func deleteObject(c *s3.Client, key string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(demoBucket), Key: &key})
		return err
	}
}

// putObject puts on the condition that nothing is there, as the role must, or without it.
func putObject(c *s3.Client, key string, once bool) func(context.Context) error {
	return func(ctx context.Context) error {
		in := &s3.PutObjectInput{Bucket: aws.String(demoBucket), Key: &key, Body: strings.NewReader("planted")}
		if once {
			in.IfNoneMatch = aws.String("*")
		}
		_, err := c.PutObject(ctx, in)
		return err
	}
}

var errNoAgent = errors.New("no agent of the group is running")

// stolen is the connection of an agent that runs, and the topic as an operator knows it.
func (t *thief) stolen(ctx context.Context, group string) (*agent, topic.Partition, error) {
	a := t.cluster.running(group)
	if a == nil {
		return nil, topic.Partition{}, errNoAgent
	}
	found, err := t.walls.operator.Topics(ctx, topic.Query{Names: []string{demoTopic}})
	if err != nil {
		// Not to be taken for a denial of the thief.
		return nil, topic.Partition{}, fmt.Errorf("look for the topic: %v", err) //nolint:errorlint // its class is not the thief's
	}
	return a, topic.Partition{Topic: found[0].Topic.ID}, nil
}

func (t *thief) plan(ctx context.Context) error {
	a, p, err := t.stolen(ctx, "prod")
	if err != nil {
		return err
	}
	plans, err := a.client.Plan(ctx, []segment.PlanQuery{{Partition: p, MaxBytes: 1}})
	if err == nil && plans[0].Code != 0 {
		return denial(plans[0].Code)
	}
	return err
}

// commit names an object that was never stored, as the next of the agent's own session.
func (t *thief) commit(ctx context.Context) (err error) {
	a, p, err := t.stolen(ctx, "analytics")
	if err != nil {
		return err
	}
	session := a.session.Load()
	stream, err := a.client.Commits(ctx, session)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	row := segment.Row{Partition: p, Length: 100, Records: 1, MaxTimestamp: time.Now().UnixMilli(), Producer: segment.Producer{ID: segment.NoProducer, Epoch: -1}}
	sending := stream.Send(&segment.Commit{Session: session, Share: demoShare, Sequence: 1, Manifest: segment.Manifest{Size: 100, Rows: []segment.Row{row}}})
	reply, err := stream.Recv() // says why, if the commit could not be sent
	switch {
	case err != nil:
		return err
	case sending != nil:
		return sending
	case reply.Outcome == segment.Unauthorized:
		return client.ErrDenied
	case reply.Outcome != segment.Answered:
		return fmt.Errorf("commit outcome %d", reply.Outcome)
	}
	for _, answer := range reply.Answers {
		if answer.Code != 0 {
			return denial(answer.Code)
		}
	}
	return nil
}

func (t *thief) deleteTopic(group string) func(context.Context) error {
	return func(ctx context.Context) error {
		a := t.cluster.running(group)
		if a == nil {
			return errNoAgent
		}
		request := kmsg.NewPtrDeleteTopicsRequest()
		gone := kmsg.NewDeleteTopicsRequestTopic()
		gone.Topic = kmsg.StringPtr(demoTopic)
		request.Topics = append(request.Topics, gone)
		answer, err := ask[*kmsg.DeleteTopicsResponse](ctx, &operator{client: a.client}, 6, request)
		if err == nil && answer.Topics[0].ErrorCode != 0 {
			return denial(answer.Topics[0].ErrorCode)
		}
		return err
	}
}

// assume asks STS for the role by which analytics reads, with the name of a session and the external id that it wants.
func (t *thief) assume(ctx context.Context) error {
	g := demoGroups[1]
	_, err := t.sts.AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: aws.String(t.walls.world.RoleARN(demoDataAccount, g.shareRole())), RoleSessionName: aws.String(g.name + "-stranger"), ExternalId: aws.String(g.externalID()),
	})
	return err
}

// logIn proves who the stranger is, and claims to be an agent of analytics.
func (t *thief) logIn(ctx context.Context) (err error) {
	config, err := t.stranger.client("analytics", "stranger", rolesOf("fetch"))
	if err != nil {
		return err
	}
	config.Patience = thiefTime
	c, err := client.Dial(config, t.log, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	_, err = c.Topics(ctx, topic.Query{All: true})
	return err
}
