package control

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// metering is a state with sessions 1 of prod and 2 of analytics, and a share orders.
type metering struct {
	t   *testing.T
	s   *State
	now int64
}

func newMetering(t *testing.T, l Limits) *metering {
	m := &metering{t, NewState(l), 1_000_000_000_000}
	m.do(&controlpb.Command{Op: &controlpb.Command_CreateShare{CreateShare: &controlpb.CreateShareCommand{Share: &controlpb.Share{Name: "orders", Bucket: "mem://"}}}})
	for _, group := range []string{"prod", "analytics"} {
		m.do(&controlpb.Command{Op: &controlpb.Command_Login{Login: &controlpb.LoginCommand{
			Request: &controlpb.LoginRequest{Agent: "a", Group: group, Roles: []string{"produce"}}, GossipKey: make([]byte, 32)}}})
	}
	return m
}

func (m *metering) do(c *controlpb.Command) {
	m.t.Helper()
	c.Time = m.now
	if r := m.s.Apply(c); r.Code != 0 {
		m.t.Fatalf("%v: code %d", c, r.Code)
	}
}

func (m *metering) tell(session uint64, share string, totals ...int64) {
	m.t.Helper()
	m.do(&controlpb.Command{Op: &controlpb.Command_Meter{Meter: &controlpb.MeterCommand{Metered: []*controlpb.SessionMeter{
		{Session: session, Shares: []*controlpb.ShareMeter{{Share: share, Totals: totals}}}}}}})
}

// sums are the rows of a span, and where it begins, as a time ago.
func (m *metering) sums(span time.Duration) string {
	r := m.s.Meter(m.now, span.Milliseconds())
	lines := []string{fmt.Sprint(time.Duration(r.GetUntil()-r.GetFrom()) * time.Millisecond)}
	for _, row := range r.GetRows() {
		lines = append(lines, fmt.Sprint(row.GetGroup(), "/", row.GetShare(), row.GetCounts()))
	}
	return strings.Join(lines, " ")
}

func (m *metering) want(what string, span time.Duration, want string) {
	m.t.Helper()
	if got := m.sums(span); got != want {
		m.t.Errorf("%s: %s, wanted %s", what, got, want)
	}
}

// TestWhatIsToldTwiceCountsOnce: sums are of a session, and only their rise counts.
func TestWhatIsToldTwiceCountsOnce(t *testing.T) {
	m := newMetering(t, testLimits())
	m.want("nothing told", time.Hour, "1h0m40s")
	m.tell(1, "orders", 5, 0, 100)
	m.tell(1, "orders", 5, 0, 100)
	m.now += 20_000
	m.tell(1, "orders", 7, 1, 90) // a sum that falls is not believed
	m.tell(2, "orders", 1)
	m.tell(2, "unheard", 1)
	m.tell(9, "orders", 1)
	m.want("an hour", time.Hour, "20s analytics/orders[1] prod/orders[7 1 100]")
	m.want("a month", 30*24*time.Hour, "20s analytics/orders[1] prod/orders[7 1 100]")
	// A new session of the same agent begins anew.
	m.do(&controlpb.Command{Op: &controlpb.Command_EndSession{EndSession: &controlpb.EndSessionRequest{Session: 1}}})
	m.tell(1, "orders", 8, 1, 100) // its last word
	m.do(&controlpb.Command{Op: &controlpb.Command_Login{Login: &controlpb.LoginCommand{
		Request: &controlpb.LoginRequest{Agent: "a", Group: "prod", Roles: []string{"produce"}}, GossipKey: make([]byte, 32)}}})
	m.tell(3, "orders", 2)
	m.want("two sessions", time.Hour, "20s analytics/orders[1] prod/orders[10 1 100]")
	if m.s.told.Len() != 3 {
		t.Errorf("%d sums of sessions", m.s.told.Len())
	}
	m.now += time.Hour.Milliseconds()
	for range 10 {
		m.do(&controlpb.Command{Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}})
	}
	if m.s.told.Len() != 2 {
		t.Errorf("%d sums of sessions after the first was forgotten", m.s.told.Len())
	}
}

// TestSpans: the last hour is of minutes, two days are of hours, a month is of days; what is older is forgotten.
func TestSpans(t *testing.T) {
	m := newMetering(t, testLimits())
	began := m.now
	for i := range int64(40 * 24) {
		m.now = began + i*time.Hour.Milliseconds()
		m.tell(1, "orders", i+1)
	}
	if spans := m.s.meter.Len(); spans > 1+50+33 {
		t.Errorf("%d rows", spans)
	}
	m.want("an hour", time.Hour, "1h0m40s prod/orders[2]")
	m.want("a part of one", 5*time.Minute, "5m40s prod/orders[1]")
	m.want("a day", 24*time.Hour, "24h46m40s prod/orders[25]")
	m.want("a month", 30*24*time.Hour, "720h46m40s prod/orders[721]")
	m.want("more than is kept", 300*24*time.Hour, "744h46m40s prod/orders[745]")
	m.now += 100 * 24 * time.Hour.Milliseconds()
	if got := time.Duration(m.s.Meter(m.now-100*24*time.Hour.Milliseconds(), 24*time.Hour.Milliseconds()).GetRows()[0].GetActiveMs()) * time.Millisecond; got != 25*time.Minute {
		t.Errorf("active for %v of a day, a minute in each hour", got)
	}
	m.want("long after", 30*24*time.Hour, "720h46m40s")
}

// TestMeterIsBounded: of more groups and shares than there is room for, the sum is kept.
func TestMeterIsBounded(t *testing.T) {
	l := testLimits()
	l.MaxMeterRows = 20
	m := newMetering(t, l)
	for i := range 40 {
		name := fmt.Sprintf("s%02d", i)
		m.do(&controlpb.Command{Op: &controlpb.Command_CreateShare{CreateShare: &controlpb.CreateShareCommand{Share: &controlpb.Share{Name: name, Bucket: "mem://"}}}})
	}
	for round := int64(1); round <= 3; round++ {
		for i := range 20 {
			m.tell(1, fmt.Sprintf("s%02d", i), round)
		}
	}
	if n := m.s.meter.Len(); n > 20+3 {
		t.Errorf("%d rows", n)
	}
	sum, others := int64(0), int64(0)
	for _, row := range m.s.Meter(m.now, time.Hour.Milliseconds()).GetRows() {
		sum += row.GetCounts()[0]
		if row.GetGroup() == "" && row.GetShare() == "" {
			others = row.GetCounts()[0]
		}
	}
	if sum != 60 || others == 0 || others == 60 {
		t.Errorf("%d in all, %d of them of others", sum, others)
	}
	m.tell(1, "s30", 5) // of a session and share for which there is no room
	if m.s.told.Len() > 20 {
		t.Errorf("%d sums of sessions", m.s.told.Len())
	}
	many := make([]int64, 1000)
	many[999] = 1
	m.tell(2, "s00", many...)
	for _, row := range m.s.Meter(m.now, time.Hour.Milliseconds()).GetRows() {
		if len(row.GetCounts()) > maxMeterCounts {
			t.Errorf("%d counts of %s", len(row.GetCounts()), row.GetGroup())
		}
	}
}

// TestSnapshotOfVersion2: a state that was written before there were meters is read, and begins to count.
func TestSnapshotOfVersion2(t *testing.T) {
	b, err := os.ReadFile("testdata/snapshot-2")
	if err != nil {
		t.Fatal(err)
	}
	l := Default()
	l.Meta = Meta{}
	s := restored(t, b, l)
	if x := s.Stats(); x.Topics == 0 || s.bindings.Len() == 0 || s.audit.Len() == 0 || s.meter.Len() != 0 {
		t.Errorf("%+v, %d bindings, %d events, %d meter rows", x, s.bindings.Len(), s.audit.Len(), s.meter.Len())
	}
	if now := s.Limits(); now.MaxMeterRows != l.MaxMeterRows {
		t.Errorf("a limit that is younger than the snapshot is %d", now.MaxMeterRows)
	}
	m := &metering{t, s, s.time + 1}
	told := false
	s.EachSession(func(x Session) bool {
		s.shares.Scan(func(name string, _ share) bool {
			m.tell(x.ID, name, 3)
			told = true
			return true
		})
		return true
	})
	if told && s.meter.Len() == 0 {
		t.Error("nothing is counted")
	}
	stored := false
	for _, v := range s.Meter(m.now, 1).GetStored() {
		stored = stored || v.GetBytes() > 0
	}
	if stored != (s.segments.used > 0) {
		t.Errorf("%d segments are used, and stored is %t", s.segments.used, stored)
	}
}
