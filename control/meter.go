package control

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/btree"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/meter"
)

// What agents did for each share is summed by group and share, three times over: by the minute for an hour, by the hour for two days, and
// by the day for a month. It is in the state, and not in the leader's memory, because it must not be lost with a leader: agents tell
// sums that only rise, a command holds them once a minute, and what is added is the difference to what the same session told before, so
// that whatever is said twice, or by way of a new leader, counts once.
//
// A row is the number of minutes in which something was done, and then the counts.
type meterSpan struct {
	tag        byte
	unit, kept int64 // milliseconds
}

var meterSpans = [...]meterSpan{
	{'m', time.Minute.Milliseconds(), 61 * time.Minute.Milliseconds()},
	{'h', time.Hour.Milliseconds(), 49 * time.Hour.Milliseconds()},
	{'d', 24 * time.Hour.Milliseconds(), 32 * 24 * time.Hour.Milliseconds()},
}

// MaxMetered bounds the shares that an agent tells of at once.
const MaxMetered = 256

// maxMeterCounts bounds the counts of a share; those beyond are of a version that this one need not keep.
const maxMeterCounts = 64

// meterKey orders rows by span and time. Names hold no NUL.
func meterKey(tag byte, at int64, group, share string) string {
	key := binary.BigEndian.AppendUint64([]byte{tag}, uint64(at))
	return string(key) + group + "\x00" + share
}

func toldKey(session uint64, share string) string {
	return string(binary.BigEndian.AppendUint64(nil, session)) + share
}

// takeMeter adds what agents have done since they told it last.
func (s *State) takeMeter(c *controlpb.MeterCommand) {
	for _, m := range c.GetMetered() {
		x, ok := s.sessions.Get(m.GetSession())
		if !ok {
			continue
		}
		if s.meterSince == 0 {
			s.meterSince = max(x.started, 1)
		}
		for _, told := range m.GetShares()[:min(len(m.GetShares()), MaxMetered)] {
			s.addMetered(x, told)
		}
	}
	for _, span := range meterSpans {
		s.dropMeter(span)
	}
}

func (s *State) addMetered(x *session, told *controlpb.ShareMeter) {
	name := told.GetShare()
	if _, ok := s.shares.Get(name); !ok {
		return
	}
	key := toldKey(x.id, name)
	before, known := s.told.Get(key)
	if !known && (s.told.Len() >= s.limits.MaxMeterRows || !s.concerns(s.words[x.group], name)) {
		return
	}
	totals := told.GetTotals()[:min(len(told.GetTotals()), maxMeterCounts)]
	now, more := make([]int64, max(len(totals), len(before))), make([]int64, len(totals))
	copy(now, before)
	some := false
	for i, v := range totals {
		if v > now[i] {
			more[i], now[i], some = v-now[i], v, true
		}
	}
	if !some {
		return
	}
	s.told.Set(key, now)
	more = append([]int64{0}, more...)
	for i, span := range meterSpans {
		at := s.clock() - s.clock()%span.unit
		row := meterKey(span.tag, at, s.words[x.group], name)
		if _, there := s.meter.Get(row); !there && s.meter.Len() >= s.limits.MaxMeterRows {
			row = meterKey(span.tag, at, "", "")
		}
		sum, there := s.meter.Get(row)
		if i == 0 && !there {
			more[0] = 1 // a minute in which something was done, which the hour and the day hear of next
		}
		s.meter.Set(row, sumOf(sum, more))
	}
}

// Metered reports whether the state has all that an agent tells of a share: so it is with what is told again.
func (s *State) Metered(session uint64, told *controlpb.ShareMeter) bool {
	has, known := s.told.Get(toldKey(session, told.GetShare()))
	if !known {
		return false
	}
	for i, v := range told.GetTotals()[:min(len(told.GetTotals()), maxMeterCounts)] {
		if i >= len(has) && v > 0 || i < len(has) && v > has[i] {
			return false
		}
	}
	return true
}

// concerns says whether a group has, or had, anything to do with a share: nobody fills the sums of others' shares.
func (s *State) concerns(group, share string) bool {
	return s.Open() || slices.ContainsFunc(s.grantsOf[group], func(g *grant) bool { return g.pb.GetShare() == share })
}

// sumOf adds lists of counts into a new one: what a snapshot holds is not changed.
func sumOf(a, b []int64) []int64 {
	out := make([]int64, max(len(a), len(b)))
	copy(out, a)
	for i, v := range b {
		if out[i] > math.MaxInt64-v {
			out[i] = math.MaxInt64
		} else {
			out[i] += v
		}
	}
	return out
}

// dropMeter forgets the rows of a span that are too old.
func (s *State) dropMeter(span meterSpan) {
	old := meterKey(span.tag, max(0, s.clock()-span.kept), "", "")
	for {
		var key string
		s.meter.Ascend(string(span.tag), func(k string, _ []int64) bool {
			key = k
			return false
		})
		if key == "" || key[0] != span.tag || key >= old {
			return
		}
		s.meter.Delete(key)
	}
}

// forgetTold forgets what a session told.
func (s *State) forgetTold(session uint64) {
	prefix := toldKey(session, "")
	var keys []string
	s.told.Ascend(prefix, func(k string, _ []int64) bool {
		if !strings.HasPrefix(k, prefix) {
			return false
		}
		keys = append(keys, k)
		return true
	})
	for _, k := range keys {
		s.told.Delete(k)
	}
}

// Meter tells what was done within a span before now, and what is stored.
func (s *State) Meter(now, span int64) *controlpb.MeterResponse {
	now = max(now, s.clock())
	series := meterSpans[0]
	for _, m := range meterSpans[1:] {
		if span > series.kept-series.unit {
			series = m
		}
	}
	from := max(0, now-min(span, series.kept-series.unit))
	from -= from % series.unit
	r := &controlpb.MeterResponse{Until: now}
	var sums btree.Map[string, []int64]
	s.meter.Ascend(meterKey(series.tag, from, "", ""), func(key string, counts []int64) bool {
		if key[0] != series.tag {
			return false
		}
		sum, _ := sums.Get(key[9:])
		sums.Set(key[9:], sumOf(sum, counts))
		return true
	})
	sums.Scan(func(key string, counts []int64) bool {
		group, share, _ := strings.Cut(key, "\x00")
		r.Rows = append(r.Rows, &controlpb.MeterRow{Group: group, Share: share, Counts: counts[1:], ActiveMs: counts[0] * time.Minute.Milliseconds()})
		return true
	})
	r.From = min(max(from, s.meterSince), now)
	s.shares.Scan(func(name string, sh share) bool {
		if v := s.segments.storedOf(sh.word); v.objects > 0 {
			r.Stored = append(r.Stored, &controlpb.ShareStored{Share: name, Bytes: v.bytes, Objects: v.objects})
		}
		return true
	})
	return r
}

func (sn *Snapshot) writeMeter(e *encoder) {
	e.int(sn.meterSince)
	e.uint(uint64(sn.meter.Len()))
	sn.meter.Scan(func(key string, counts []int64) bool {
		e.string(key)
		e.ints(counts)
		return e.err == nil
	})
	e.uint(uint64(sn.told.Len()))
	sn.told.Scan(func(key string, counts []int64) bool {
		e.string(key)
		e.ints(counts)
		return e.err == nil
	})
}

func (e *encoder) ints(v []int64) {
	e.uint(uint64(len(v)))
	for _, n := range v {
		e.int(n)
	}
}

func (d *decoder) ints(most uint64, what string) []int64 {
	v := make([]int64, d.upTo(most, what))
	for i := range v {
		v[i] = d.int()
	}
	return v
}

// readMeter reads what agents did; snapshots before version 3 do not have it.
func (s *State) readMeter(d *decoder) {
	if d.version < 3 {
		return
	}
	s.meterSince = d.int()
	for range d.count("meter rows") {
		key := d.string("meter row")
		if len(key) < 10 || !strings.ContainsRune("mhd", rune(key[0])) || strings.Count(key[9:], "\x00") != 1 {
			d.fail("meter row %q", key)
			return
		}
		counts := d.ints(1+maxMeterCounts, "counts")
		if len(counts) == 0 {
			d.fail("meter row %q is empty", key)
			return
		}
		s.meter.Set(key, counts)
	}
	for range d.count("told sums") {
		key := d.string("told sum")
		if len(key) < 8 {
			d.fail("told sum %q", key)
			return
		}
		s.told.Set(key, d.ints(maxMeterCounts, "counts"))
	}
}

// The order of counts is a promise: what is told is read by other versions.
var _ [maxMeterCounts - int(meter.Size)]struct{}
