//go:build e2e && linux

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/twmb/franz-go/pkg/kmsg"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpccredentials "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/internal/e2e/walls"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// caller speaks to the control plane as no agent would: every message as it likes, with what somebody really has.
type caller struct {
	*wallsWorld
	actor   string
	user    string     // whose own account's identity it has
	denial  codes.Code // by which it is to be denied
	conn    *grpc.ClientConn
	token   string
	session uint64
	last    map[string]uint64 // sequence that was committed, by share
	cluster string            // its id
}

// call is one connection to the control plane from a VPC, with a client certificate or without.
func (w *wallsWorld) call(actor string, in walls.VPC, certificates ...tls.Certificate) *caller {
	w.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+w.net.Services.At(controlPort),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return in.Dial(ctx, "tcp", address) }),
		grpc.WithTransportCredentials(grpccredentials.NewTLS(&tls.Config{RootCAs: w.controlRoots, Certificates: certificates, MinVersion: tls.VersionTLS13})))
	w.check(err)
	w.t.Cleanup(func() { conn.Close() })
	return &caller{wallsWorld: w, actor: actor, denial: codes.Unauthenticated, conn: conn, last: map[string]uint64{}}
}

// ctx is that of one call, with the token if there is one.
func (c *caller) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c.t.Cleanup(cancel)
	if c.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	}
	return ctx
}

func (c *caller) auth() controlpb.AuthServiceClient { return controlpb.NewAuthServiceClient(c.conn) }

// begin asks for what a proof is bound to.
func (c *caller) begin() *controlpb.BeginResponse {
	c.t.Helper()
	begun, err := c.auth().Begin(c.ctx(), &controlpb.BeginRequest{})
	if err != nil {
		c.t.Fatalf("%s: begin to log in: %v", c.actor, err)
	}
	c.cluster = begun.GetClusterId()
	return begun
}

// proof signs with a user's own keys that it is who it is, for one claim.
func (c *caller) proof(key walls.Key, server string, nonce []byte, claim identity.Claim) []byte {
	c.t.Helper()
	source := identity.NewSigV4Source(credentials.NewStaticCredentialsProvider(key.ID, key.Secret, ""), "us-east-1", time.Now)
	proof, err := source.Proof(c.t.Context(), identity.Challenge{Server: server, Nonce: nonce, Claim: claim})
	if err != nil {
		c.t.Fatalf("%s: make a proof: %v", c.actor, err)
	}
	return proof
}

// callAs is a connection of somebody who has the identity of an account's own.
func (w *wallsWorld) callAs(actor, user string, in walls.VPC) *caller {
	w.t.Helper()
	var shown []tls.Certificate
	if own, ok := w.certificates[user]; ok {
		shown = append(shown, own)
	}
	c := w.call(actor, in, shown...)
	c.user, c.denial = user, codes.PermissionDenied // who it is can be proven
	return c
}

// logIn proves the identity and claims something by it. It keeps the token, and returns the certificate that came with it.
func (c *caller) logIn(group, agent string, roles ...string) (tls.Certificate, error) {
	c.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.check(err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	c.check(err)
	begun := c.begin()
	r := &controlpb.AuthenticateRequest{Method: identity.MethodMTLS, Nonce: begun.GetNonce(), Group: group, Agent: agent, Roles: roles, Csr: csr}
	if _, shows := c.certificates[c.user]; !shows {
		r.Method = identity.MethodSigV4
		r.Proof = c.proof(c.keys[c.user], begun.GetClusterId(), begun.GetNonce(), identity.Claim{Group: group, Agent: agent, Roles: roles, CSR: csr})
	}
	got, err := c.auth().Authenticate(c.ctx(), r)
	if err != nil {
		return tls.Certificate{}, err
	}
	c.token = got.GetToken()
	return tls.Certificate{Certificate: [][]byte{got.GetCertificate(), got.GetAuthority()}, PrivateKey: private}, nil
}

// admin is an operator, by a certificate of the cluster's own.
func (w *wallsWorld) admin() *caller {
	w.t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(w.adminFolder(), "admin.crt"), filepath.Join(w.adminFolder(), "admin.key"))
	w.check(err)
	c := w.call("operator", w.net.Services, pair)
	got, err := c.auth().Authenticate(c.ctx(), &controlpb.AuthenticateRequest{Method: identity.MethodMTLS, Nonce: c.begin().GetNonce()})
	w.check(err)
	c.token = got.GetToken()
	return c
}

// join begins a session, as an agent does.
func (c *caller) join(group, agent string, roles ...string) error {
	got, err := controlpb.NewMembershipServiceClient(c.conn).Login(c.ctx(), &controlpb.LoginRequest{Agent: agent, Group: group, Roles: roles, Version: "thief"})
	if err == nil {
		c.session = got.GetSession()
	}
	return err
}

func (c *caller) heartbeat(session uint64) error {
	got, err := controlpb.NewMembershipServiceClient(c.conn).Heartbeat(c.ctx(), &controlpb.HeartbeatRequest{Session: session})
	if err == nil && got.GetEnded() {
		return fmt.Errorf("session %d has ended", session)
	}
	return err
}

func (c *caller) endSession(session uint64) error {
	_, err := controlpb.NewMembershipServiceClient(c.conn).EndSession(c.ctx(), &controlpb.EndSessionRequest{Session: session})
	return err
}

// partition 0 of a topic.
func first(topic *controlpb.Topic) *controlpb.Partition {
	return &controlpb.Partition{TopicId: topic.GetId()}
}

// topicNamed is what the control plane tells of a topic: its error stands in the answer.
func (c *caller) topicNamed(name string) (*controlpb.Topic, error) {
	got, err := controlpb.NewIndexServiceClient(c.conn).Topics(c.ctx(), &controlpb.TopicsRequest{Session: c.session, Names: []string{name}})
	if err != nil {
		return nil, err
	}
	if len(got.GetTopics()) != 1 {
		return nil, fmt.Errorf("%d answers for one topic", len(got.GetTopics()))
	}
	return got.GetTopics()[0], nil
}

// plan asks where a topic's records lie.
func (c *caller) plan(topic *controlpb.Topic) (code int32, err error) {
	got, err := controlpb.NewIndexServiceClient(c.conn).Plan(c.ctx(), &controlpb.PlanRequest{Session: c.session,
		Partitions: []*controlpb.PlanPartition{{Partition: first(topic), MaxBytes: 1 << 20}}})
	if err != nil {
		return 0, err
	}
	if len(got.GetPartitions()) != 1 {
		return 0, fmt.Errorf("%d answers for one partition", len(got.GetPartitions()))
	}
	return got.GetPartitions()[0].GetError(), nil
}

// watch waits for a topic's first news.
func (c *caller) watch(topic *controlpb.Topic) (removed bool, err error) {
	stream, err := controlpb.NewIndexServiceClient(c.conn).Watch(c.ctx())
	if err != nil {
		return false, err
	}
	defer stream.CloseSend()
	if err := stream.Send(&controlpb.WatchRequest{Session: c.session, Add: []*controlpb.Partition{first(topic)}}); err != nil {
		return false, errOfStream(stream.RecvMsg, err)
	}
	for {
		got, err := stream.Recv()
		if err != nil {
			return false, err
		}
		for _, event := range got.GetEvents() {
			return event.GetRemoved(), nil
		}
	}
}

// errOfStream is why a stream has ended: sending to it only says that it has.
func errOfStream(receive func(any) error, sent error) error {
	if err := receive(new(controlpb.WatchResponse)); err != nil {
		return err
	}
	return sent
}

func (c *caller) listOffsets(topic *controlpb.Topic) (code int32, err error) {
	got, err := controlpb.NewIndexServiceClient(c.conn).ListOffsets(c.ctx(), &controlpb.ListOffsetsRequest{Session: c.session,
		Partitions: []*controlpb.ListOffsetsPartition{{Partition: first(topic), Timestamp: -1}}})
	if err != nil {
		return 0, err
	}
	if len(got.GetPartitions()) != 1 {
		return 0, fmt.Errorf("%d answers for one partition", len(got.GetPartitions()))
	}
	return got.GetPartitions()[0].GetError(), nil
}

// commit asks for a place for one record of a topic in a share, which nobody has stored. Without a topic it only gives up the sequence.
func (c *caller) commit(session uint64, share string, topic *controlpb.Topic) error {
	r := &controlpb.CommitRequest{Session: session, Share: share, After: c.last[share], Sequence: c.last[share] + 1}
	if topic != nil {
		row := segment.Row{Length: 100, Records: 1, MaxTimestamp: time.Now().UnixMilli(), Producer: segment.Producer{ID: segment.NoProducer, Epoch: -1}}
		copy(row.Partition.Topic[:], topic.GetId())
		r.Nonce = make([]byte, len(segment.Nonce{}))
		r.Manifest = segment.AppendManifest(nil, &segment.Manifest{Size: 100, Rows: []segment.Row{row}})
	}
	got, err := c.send(r)
	if err != nil {
		return err
	}
	if outcome := segment.Outcome(got.GetOutcome()); outcome != segment.Answered {
		return refusedCommit(outcome)
	}
	c.last[share] = r.GetSequence()
	if topic == nil {
		return nil // there is nothing to answer
	}
	answers, err := segment.ParseAnswers(got.GetAnswers())
	if err != nil {
		return err
	}
	for _, answer := range answers {
		if answer.Code != 0 {
			return kafkaError(answer.Code)
		}
	}
	return nil
}

func (c *caller) send(r *controlpb.CommitRequest) (*controlpb.CommitResponse, error) {
	stream, err := controlpb.NewSequencerServiceClient(c.conn).Commit(c.ctx())
	if err != nil {
		return nil, err
	}
	defer stream.CloseSend()
	if err := stream.Send(r); err != nil {
		if _, why := stream.Recv(); why != nil {
			return nil, why
		}
		return nil, err
	}
	return stream.Recv()
}

// kafkaCall sends one of Kafka's requests through the tunnel in a version of its own, and fills its answer.
func (c *caller) kafkaCall(version int16, request kmsg.Request, response kmsg.Response) error {
	request.SetVersion(version)
	response.SetVersion(version)
	got, err := controlpb.NewTunnelServiceClient(c.conn).Call(c.ctx(), &controlpb.CallRequest{Session: c.session, Key: int32(request.Key()),
		Version: int32(version), Body: request.AppendTo(nil), ClientId: "thief", ClientHost: "thief", Principal: "User:thief"})
	if err != nil {
		return err
	}
	return response.ReadFrom(got.GetBody())
}

func (c *caller) change(change *controlpb.WallChange) error {
	got, err := controlpb.NewWallsServiceClient(c.conn).Change(c.ctx(), &controlpb.ChangeRequest{Change: change})
	if err == nil && got.GetError() != 0 {
		return kafkaError(got.GetError())
	}
	return err
}

func (c *caller) audit() error {
	_, err := controlpb.NewWallsServiceClient(c.conn).Audit(c.ctx(), &controlpb.AuditRequest{Limit: 10})
	return err
}

func (c *caller) meter() error {
	_, err := controlpb.NewStatusServiceClient(c.conn).Meter(c.ctx(), &controlpb.MeterRequest{SpanMs: 3_600_000})
	return err
}

func (c *caller) see() error {
	_, err := controlpb.NewWallsServiceClient(c.conn).Walls(c.ctx(), &controlpb.WallsRequest{})
	return err
}

// kafkaError is a code of Kafka's as an error.
type kafkaError int32

func (e kafkaError) Error() string { return fmt.Sprintf("Kafka error %d", int32(e)) }
