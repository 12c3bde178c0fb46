package scale

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/hub"
	"github.com/isthmusdata/isthmus/control/server"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// leader is the control plane: a real State and hub behind a log and a processor that do one thing at a time.
type leader struct {
	w      *world
	limits control.Limits
	state  *control.State
	hub    *hub.Hub

	waiting []waiting // commits that the log has not yet
	busy    bool
	worked  time.Duration // processor time, modelled
	failed  error
}

// waiting is a commit that has come.
type waiting struct {
	from *producer
	cmd  []byte
	rows int
}

// fetcher is an agent's watch.
type fetcher struct {
	caller  control.Caller
	watch   *hub.Watch
	touched bool
}

// watchQueue is the leader's bound of one watch's queue, as configured by default.
const watchQueue = 16 << 10

func newLeader(w *world) (*leader, error) {
	l := &leader{w: w, limits: control.Default()}
	l.limits.Meta = control.Meta{Cluster: "main", ClusterID: "scale", Incarnation: 1}
	l.state = control.NewState(l.limits)
	l.hub = hub.New(func() { w.report.Overruns++ })
	r := l.apply(&controlpb.Command{Op: &controlpb.Command_CreateShare{CreateShare: &controlpb.CreateShareCommand{Share: &controlpb.Share{Name: "default", Bucket: "mem://scale"}}}})
	if r.Code != 0 {
		return nil, fmt.Errorf("create share: code %d, %s", r.Code, r.Reason)
	}
	return l, nil
}

func (l *leader) apply(c *controlpb.Command) control.Result {
	c.Time = epoch + l.w.now.Milliseconds()
	return l.state.Apply(c)
}

func (l *leader) createTopic(n, partitions int) (topic.ID, error) {
	id := topic.ID{0: 1}
	binary.BigEndian.PutUint64(id[8:], uint64(n+1))
	r := l.apply(&controlpb.Command{Op: &controlpb.Command_CreateTopic{CreateTopic: &controlpb.CreateTopicCommand{
		Name: fmt.Sprintf("topic-%04d", n), Id: id[:], Partitions: int32(partitions), Share: "default"}}})
	if r.Code != 0 {
		return id, fmt.Errorf("create topic %d: code %d, %s", n, r.Code, r.Reason)
	}
	return r.TopicID, nil
}

func (l *leader) login(agent, group, role string) (uint64, error) {
	r := l.apply(&controlpb.Command{Op: &controlpb.Command_Login{Login: &controlpb.LoginCommand{
		Request: &controlpb.LoginRequest{Agent: agent, Group: group, Roles: []string{role}}, GossipKey: make([]byte, 32)}}})
	if r.Login == nil {
		return 0, fmt.Errorf("log %s in: code %d, %s", agent, r.Code, r.Reason)
	}
	return r.Login.GetSession(), nil
}

func (l *leader) producerID() int64 {
	return l.apply(&controlpb.Command{Op: &controlpb.Command_InitProducer{InitProducer: &controlpb.InitProducerCommand{ProducerId: -1, Epoch: -1, Group: "prod"}}}).ProducerID
}

func (l *leader) watch(agent string, session uint64) *fetcher {
	return &fetcher{caller: control.Caller{Session: session, Agent: agent, Group: "analytics", Roles: []string{control.RoleFetch}, Open: true}, watch: l.hub.Open(watchQueue)}
}

func (l *leader) join(f *fetcher, p topic.Partition) { f.watch.Join(l.state, f.caller, p) }

// begin lets go of what watches were told at their start.
func (l *leader) begin() {
	for _, f := range l.w.fetchers {
		for events, err := f.watch.Take(watchQueue); len(events) > 0 && err == nil; events, err = f.watch.Take(watchQueue) {
			for _, e := range events {
				if e.Removed {
					l.failed = fmt.Errorf("a fetcher may not watch %v", e.Partition)
				}
			}
		}
	}
}

// commit takes a commit in; the log takes what waits as soon as it is free.
func (l *leader) commit(from *producer, c *segment.Commit) {
	m := &controlpb.CommitRequest{Session: c.Session, Share: c.Share, Sequence: c.Sequence, After: c.After, Abandoned: c.Abandoned, Nonce: c.Nonce[:], Acked: c.Acked}
	for i := range c.Losers {
		m.Losers = append(m.Losers, c.Losers[i][:])
	}
	if !c.Empty() {
		m.Manifest = segment.AppendManifest(nil, &c.Manifest)
	}
	cmd, err := proto.Marshal(&controlpb.Command{Op: &controlpb.Command_Commit{Commit: m}, Time: epoch + l.w.now.Milliseconds()})
	if err != nil {
		l.failed = err
		return
	}
	l.waiting = append(l.waiting, waiting{from, cmd, len(c.Manifest.Rows)})
	l.work()
}

func (l *leader) work() {
	if l.busy || len(l.waiting) == 0 {
		return
	}
	n := min(len(l.waiting), l.w.cfg.LogBatch)
	batch := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	cost := time.Duration(0)
	for i := range batch {
		cost += l.w.cfg.PerCommit + time.Duration(batch[i].rows)*l.w.cfg.PerRow
		l.w.report.LogBytes += int64(len(batch[i].cmd))
		l.w.report.Commits++
		l.w.report.Rows += int64(batch[i].rows)
	}
	l.worked += cost
	l.busy = true
	// The log writes while the processor works on what it wrote before; whichever takes longer is the pace.
	l.w.after(max(l.w.cfg.Fsync, cost), func() {
		l.busy = false
		l.place(batch)
		l.work()
	})
}

// place applies commits in order, answers them, and sends every watch its news.
func (l *leader) place(batch []waiting) {
	began := time.Now()
	for i := range batch {
		var cmd controlpb.Command
		if err := proto.Unmarshal(batch[i].cmd, &cmd); err != nil {
			l.failed = err
			return
		}
		r := l.state.Apply(&cmd)
		l.hub.Publish(r.Events)
		if r.Reply.Outcome != segment.Answered {
			l.failed = fmt.Errorf("commit %d of session %d is answered with outcome %d", r.Reply.Sequence, r.Reply.Session, r.Reply.Outcome)
			return
		}
		for _, a := range r.Reply.Answers {
			if a.Verdict == segment.Placed {
				l.w.report.Placements++
			}
		}
		l.concerned(r.Events)
		reply, from := r.Reply, batch[i].from
		l.w.report.ReplyBytes += int64(proto.Size(server.CommitMessage(reply)))
		l.w.after(l.w.cfg.Network, func() { from.answered(&reply) })
	}
	l.tell()
	l.w.report.Measured.Leader += time.Since(began)
}

// concerned counts by how many fetchers of a zone a segment is wanted: each has its bytes of the one that reads it.
func (l *leader) concerned(events []segment.Event) {
	for _, f := range l.w.fetchers {
		f.touched = false
	}
	for i := range events {
		for _, f := range l.w.watching[events[i].Partition] {
			if !f.touched {
				f.touched = true
				l.w.report.Concerned++
			}
		}
	}
}

// tell sends what watches hold, a message each.
func (l *leader) tell() {
	for _, f := range l.w.fetchers {
		select {
		case <-f.watch.Wake():
		default:
			continue
		}
		events, err := f.watch.Take(watchQueue)
		if err != nil {
			l.failed = err
			return
		}
		r := &l.w.report
		r.WatchMessages++
		r.WatchEvents += int64(len(events))
		r.WatchBytes += int64(proto.Size(server.WatchMessage(events)))
	}
}

// snapshot writes the state and reads it again.
func (l *leader) snapshot(m *Measured) (int64, error) {
	var kept bytes.Buffer
	began := time.Now()
	s := l.state.Snapshot()
	m.SnapshotPause = time.Since(began)
	n, err := s.WriteTo(&kept)
	s.Release()
	if err != nil {
		return 0, err
	}
	m.Snapshot = time.Since(began)
	began = time.Now()
	if _, err := control.ReadState(&kept, l.limits); err != nil {
		return 0, err
	}
	m.Restore = time.Since(began)
	return n, nil
}
