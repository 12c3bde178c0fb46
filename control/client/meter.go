package client

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/meter"
)

const (
	// meterPause is how often an agent tells what it did; the control plane writes it down once a minute.
	meterPause = 10 * time.Second
	// meterRepeat is how long the last word is repeated: a leader may have heard it and failed before it wrote it down.
	meterRepeat = 2 * time.Minute
)

// teller knows what of an agent's sums the control plane has heard in the present session. Sums rise from the agent's start; what is told
// is what they rose by since the session's, so that telling twice changes nothing.
type teller struct {
	session uint64
	base    map[string]meter.Counts // what was heard in earlier sessions
	heard   map[string]heard
	at      time.Time // when it was told last
}

type heard struct {
	counts meter.Counts
	at     time.Time // when they were heard for the first time
}

// news are the shares that have something to tell at a time. With now, it is told without the pause in between.
func (t *teller) news(at time.Time, session uint64, totals []meter.Total, now bool) (news []*controlpb.ShareMeter) {
	if t.session != session {
		t.session, t.base = session, map[string]meter.Counts{}
		for share, h := range t.heard {
			t.base[share] = h.counts
		}
	}
	if !now && at.Sub(t.at) < meterPause {
		return nil
	}
	t.at = at
	for _, sum := range totals {
		h, known := t.heard[sum.Share]
		if sum.Counts == h.counts && (!known || at.Sub(h.at) > meterRepeat) {
			continue
		}
		before := t.base[sum.Share]
		told := &controlpb.ShareMeter{Share: sum.Share, Totals: make([]int64, meter.Size)}
		for i, v := range sum.Counts {
			told.Totals[i] = v - before[i]
		}
		news = append(news, told)
	}
	return news
}

// hear notes that the control plane has heard news.
func (t *teller) hear(at time.Time, news []*controlpb.ShareMeter) {
	if t.heard == nil {
		t.heard = map[string]heard{}
	}
	for _, told := range news {
		sum, before := meter.Of(told.GetTotals()), t.base[told.GetShare()]
		sum.Add(&before)
		if h, known := t.heard[told.GetShare()]; !known || h.counts != sum {
			t.heard[told.GetShare()] = heard{sum, at}
		}
	}
}

// Metered is what the agents of a group did for a share. Both names are empty where there were too many to tell apart.
type Metered struct {
	Group, Share string
	Counts       meter.Counts
	Active       time.Duration // minutes in which something was done
}

// Stored is what lies in a share's bucket and is referred to.
type Stored struct {
	Share          string
	Bytes, Objects int64
}

// Meter is what a cluster did in a time.
type Meter struct {
	From, Until time.Time // From stands on a full minute, hour or day, or where counting began
	Rows        []Metered
	Stored      []Stored
}

// Meter asks what agents did for each share within a span before now. It needs admin.
func (c *Client) Meter(ctx context.Context, span time.Duration) (Meter, error) {
	var got *controlpb.MeterResponse
	err := c.do(ctx, "Meter", always, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		got, err = controlpb.NewStatusServiceClient(n.conn).Meter(ctx, &controlpb.MeterRequest{SpanMs: span.Milliseconds()}, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return Meter{}, err
	}
	m := Meter{From: time.UnixMilli(got.GetFrom()).UTC(), Until: time.UnixMilli(got.GetUntil()).UTC()}
	for _, r := range got.GetRows() {
		m.Rows = append(m.Rows, Metered{r.GetGroup(), r.GetShare(), meter.Of(r.GetCounts()), time.Duration(r.GetActiveMs()) * time.Millisecond})
	}
	for _, s := range got.GetStored() {
		m.Stored = append(m.Stored, Stored{s.GetShare(), s.GetBytes(), s.GetObjects()})
	}
	return m, nil
}
