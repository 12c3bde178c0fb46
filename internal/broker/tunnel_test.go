package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
)

func join() *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID = "g", "m"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 45_000, 300_000
	return req
}

// TestPark sends a parked request again when the control plane fails over.
func TestPark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl()
		tries := 0
		control.serve = func(ctx context.Context, _ Call, req kmsg.Request) (kmsg.Response, error) {
			switch tries++; {
			case tries == 1: // held for a while, then its leader fails
				time.Sleep(2 * time.Minute) // virtual
				return nil, errAway
			case tries < 6:
				return nil, errAway
			}
			time.Sleep(time.Minute) // virtual: held again, by the new leader
			resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
			resp.Generation, resp.MemberID = 7, req.(*kmsg.JoinGroupRequest).MemberID
			return resp, nil
		}
		a := newAgent(t, Default(), control, alone(), nil)
		resp := a.ask(join(), 9).(*kmsg.JoinGroupResponse)
		if resp.ErrorCode != 0 || resp.Generation != 7 || resp.MemberID != "m" {
			t.Errorf("%+v", resp)
		}
	})
}

// TestParkIsNotRepeatedWhereItCannotHelp: what the control plane will never take is refused at once.
func TestParkIsNotRepeatedWhereItCannotHelp(t *testing.T) {
	for want, err := range map[int16]error{30: topic.ErrDenied, 42: ErrInvalid} {
		synctest.Test(t, func(t *testing.T) {
			control := newFakeControl()
			control.serve = func(context.Context, Call, kmsg.Request) (kmsg.Response, error) {
				return nil, fmt.Errorf("ask: %w", err)
			}
			a := newAgent(t, Default(), control, alone(), nil)
			start := time.Now()
			if resp := a.ask(join(), 9).(*kmsg.JoinGroupResponse); resp.ErrorCode != want || time.Since(start) > 0 {
				t.Errorf("%v: code %d after %s", err, resp.ErrorCode, time.Since(start))
			}
			if len(control.calls) != 1 {
				t.Errorf("%v: asked %d times", err, len(control.calls))
			}
		})
	}
}

// TestParkEnds answers a parked request when nothing will come of it.
func TestParkEnds(t *testing.T) {
	held := func(ctx context.Context, _ Call, _ kmsg.Request) (kmsg.Response, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, c := range []struct {
		name  string
		serve func(context.Context, Call, kmsg.Request) (kmsg.Response, error)
		away  bool // for reads
		most  time.Duration
	}{
		{"away", nil, true, 12 * time.Second},
		{"held by a client that tries for ever", held, true, 12 * time.Second},
		{"held by a control plane that never answers", held, false, 311 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				control := newFakeControl()
				control.serve, control.away = c.serve, c.away
				if c.serve != nil && c.away {
					control.away = false
					control.hold = func(context.Context, topic.Query) { control.setAway(true) }
				}
				a := newAgent(t, Default(), control, alone(), nil)
				start := time.Now()
				resp := a.ask(join(), 9).(*kmsg.JoinGroupResponse)
				if took := time.Since(start); resp.ErrorCode != 15 || resp.MemberID != "m" || took > c.most {
					t.Errorf("after %s: %+v", took, resp)
				}
			})
		})
	}
}

// TestParkDrain answers a parked request when the agent stops, so that its client asks another.
func TestParkDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl()
		parked := make(chan struct{})
		control.serve = func(ctx context.Context, _ Call, _ kmsg.Request) (kmsg.Response, error) {
			close(parked)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		a := newAgent(t, Default(), control, alone(), nil)
		answered := make(chan error, 1)
		go func() {
			resp, err := a.try(join(), 9)
			if err == nil && resp.(*kmsg.JoinGroupResponse).ErrorCode != 15 {
				err = errors.New("no error 15")
			}
			answered <- err
		}()
		<-parked
		if err := a.server.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
}

// TestUnfitAnswers lets no answer through that is too large or does not decode, and no request that
// the control plane would never take.
func TestUnfitAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl()
		cfg := Default()
		cfg.MaxAnswer, cfg.MaxCall = 100, 1000
		a := newAgent(t, cfg, control, alone(), nil)
		for _, group := range []string{"halfway", strings.Repeat("g", 200)} {
			control.serve = func(context.Context, Call, kmsg.Request) (kmsg.Response, error) {
				resp := kmsg.NewPtrDescribeGroupsResponse()
				rg := kmsg.NewDescribeGroupsResponseGroup()
				rg.Group = group
				resp.Groups = append(resp.Groups, rg)
				if group == "halfway" {
					return cut{resp}, nil
				}
				return resp, nil
			}
			req := kmsg.NewPtrDescribeGroupsRequest()
			req.Groups = []string{group}
			if resp := a.ask(req, 5).(*kmsg.DescribeGroupsResponse); resp.Groups[0].ErrorCode != 15 {
				t.Errorf("%s: %+v", group, resp)
			}
		}
		large := join()
		large.MemberID = strings.Repeat("m", 2000)
		if resp := a.ask(large, 9).(*kmsg.JoinGroupResponse); resp.ErrorCode != 42 {
			t.Errorf("a request too large: %+v", resp)
		}
	})
}

// cut is a response whose bytes end too soon.
type cut struct{ kmsg.Response }

func (c cut) AppendTo(b []byte) []byte {
	b = c.Response.AppendTo(b)
	return b[:len(b)-5]
}

// TestAdminIsSeenAtOnce finds the effect of admin requests in the cache of the agent that was asked.
func TestAdminIsSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl("orders")
		a := newAgent(t, Default(), control, alone(), nil)
		for _, change := range []struct {
			version int16
			req     kmsg.Request
		}{
			{2, &kmsg.AlterConfigsRequest{Resources: []kmsg.AlterConfigsRequestResource{{ResourceType: 2, ResourceName: "orders"}}}},
			{1, &kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: 2, ResourceName: "orders"}}}},
			{3, &kmsg.CreatePartitionsRequest{Topics: []kmsg.CreatePartitionsRequestTopic{{Topic: "orders"}}}},
			{7, &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{{Topic: "orders"}}}},
			{6, &kmsg.DeleteTopicsRequest{Topics: []kmsg.DeleteTopicsRequestTopic{{Topic: ptr("orders")}}}},
		} {
			if _, err := a.deps.Topics.Lookup(t.Context(), "orders"); err != nil {
				t.Fatal(err)
			}
			a.ask(change.req, change.version)
			if a.deps.Topics.Len() != 0 {
				t.Errorf("%s left the topic in the cache", kmsg.NameForKey(change.req.Key()))
			}
		}
	})
}

// TestConfig reports every fault, and what is missing.
func TestConfig(t *testing.T) {
	err := (Config{MaxPark: -1}).Validate()
	for _, want := range []string{"call timeout", "max park", "max call", "max answer"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
	if _, err := APIs(Default(), Deps{}); err == nil {
		t.Error("APIs without a control plane")
	}
}

// TestHangingUpIsNoFault: who closes the connection while a request is carried to the control plane leaves no warning
// that blames the control plane; one that is away does.
func TestHangingUpIsNoFault(t *testing.T) {
	offsets := kmsg.NewPtrListOffsetsRequest()
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic, asked.Partitions = "orders", []kmsg.ListOffsetsRequestTopicPartition{kmsg.NewListOffsetsRequestTopicPartition()}
	offsets.Topics = append(offsets.Topics, asked)
	groups := kmsg.NewPtrListGroupsRequest()
	for _, c := range []struct {
		req     kmsg.Request
		version int16
	}{{offsets, 7}, {kmsg.NewPtrMetadataRequest(), 12}, {groups, 4}} {
		for _, hangsUp := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, hangs up: %v", kmsg.NameForKey(c.req.Key()), hangsUp), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var log bytes.Buffer
					control, carried := newFakeControl("orders"), make(chan struct{}, 1)
					wait := func(ctx context.Context) { carried <- struct{}{}; <-ctx.Done() }
					control.serve = func(ctx context.Context, _ Call, _ kmsg.Request) (kmsg.Response, error) {
						wait(ctx)
						return nil, ctx.Err()
					}
					control.stall = wait
					if c.req.Key() == int16(kmsg.Metadata) {
						control.hold = func(ctx context.Context, _ topic.Query) { wait(ctx) }
					}
					a := newAgent(t, Default(), control, alone(), nil, func(d *Deps) { d.Log = slog.New(slog.NewTextHandler(&log, nil)) })
					client, err := a.send(c.req, c.version, "somebody")
					if err != nil {
						t.Fatal(err)
					}
					<-carried
					if hangsUp {
						client.Close()
					}
					synctest.Wait()
					time.Sleep(time.Minute) // in the bubble: past every timeout
					synctest.Wait()
					if got := log.String(); strings.Contains(got, "client_id=somebody") == hangsUp {
						t.Errorf("the log says: %s", got)
					}
					client.Close()
				})
			})
		}
	}
}
