package client

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// AuditQuery says which events are asked for; what is empty chooses none out.
type AuditQuery struct {
	Group, Share, Topic string
	Since, Until        time.Time // zero: from the oldest, up to now
	After               uint64    // the number of the last event seen
	Limit               int32     // at most so many; 0: as many as one answer holds
}

// AuditEvent is who did what when. Bytes are summed over an interval, by identity, topic and kind.
type AuditEvent struct {
	Number   uint64    `json:"number"`
	Time     time.Time `json:"time"` // of a sum, the end of its interval
	Kind     string    `json:"kind"` // login, denied, change, produce, fetch …
	Identity string    `json:"identity,omitempty"`
	Binding  string    `json:"binding,omitempty"`
	Group    string    `json:"group,omitempty"`
	Agent    string    `json:"agent,omitempty"`
	Grant    string    `json:"grant,omitempty"`
	Share    string    `json:"share,omitempty"`
	Topic    string    `json:"topic,omitempty"`
	Bytes    int64     `json:"bytes,omitempty"`
	Records  int64     `json:"records,omitempty"`
	Detail   string    `json:"detail,omitempty"`
}

// Audit reads events, oldest first; more says that there are others after the last one. It needs admin.
func (c *Client) Audit(ctx context.Context, q AuditQuery) (events []AuditEvent, more bool, err error) {
	ask := &controlpb.AuditRequest{Group: q.Group, Share: q.Share, Topic: q.Topic, Limit: q.Limit, After: q.After}
	if !q.Since.IsZero() {
		ask.Since = q.Since.UnixMilli()
	}
	if !q.Until.IsZero() {
		ask.Until = q.Until.UnixMilli()
	}
	var got *controlpb.AuditResponse
	err = c.do(ctx, "Audit", always, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		got, err = controlpb.NewWallsServiceClient(n.conn).Audit(ctx, ask, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return nil, false, err
	}
	for _, e := range got.GetEvents() {
		events = append(events, AuditEvent{
			Number: e.GetNumber(), Time: time.UnixMilli(e.GetTime()).UTC(), Kind: e.GetKind(), Identity: e.GetIdentity(),
			Binding: e.GetBinding(), Group: e.GetGroup(), Agent: e.GetAgent(), Grant: e.GetGrant(), Share: e.GetShare(),
			Topic: e.GetTopic(), Bytes: e.GetBytes(), Records: e.GetRecords(), Detail: e.GetDetail(),
		})
	}
	return events, got.GetMore(), nil
}
