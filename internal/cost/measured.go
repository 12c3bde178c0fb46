package cost

import (
	"time"

	"github.com/isthmusdata/isthmus/internal/meter"
)

// Use is what the agents of a group did for a share.
type Use struct {
	Group, Share string
	Counts       meter.Counts
	Active       time.Duration // in which something was done, in whole minutes
}

// Kept is what lies in a share's bucket.
type Kept struct {
	Share          string
	Bytes, Objects int64
}

// Spent is what a group's work for a share cost in a time.
type Spent struct {
	Group     string  `json:"group"` // empty, as Share: of those that were too many to tell apart
	Share     string  `json:"share"`
	Kafka     int64   `json:"kafka_requests"`
	In        float64 `json:"gib_in"` // from producers
	Out       float64 `json:"gib_out"`
	Puts      int64   `json:"puts"` // with parts of uploads
	Gets      int64   `json:"gets"` // with HEAD
	Lists     int64   `json:"lists"`
	Deletes   int64   `json:"deletes"`
	Hedged    int64   `json:"hedged"` // of them
	Throttled int64   `json:"throttled"`
	Failed    int64   `json:"failed"`
	Stored    float64 `json:"gib_stored"`    // by PUT
	Read      float64 `json:"gib_read"`      // by GET
	Cost      float64 `json:"cost"`          // of the requests
	Month     float64 `json:"month"`         // at this rate
	Cents     float64 `json:"cents_per_gib"` // that it moved in or out; of all, that was written
}

// Measured is what a cluster did, priced.
type Measured struct {
	From     time.Time   `json:"from"`
	Until    time.Time   `json:"until"`
	Date     string      `json:"prices_of"`
	Currency string      `json:"currency"`
	Region   string      `json:"region"`
	Spent    []Spent     `json:"spent"`
	All      Spent       `json:"all"`
	Storage  []ShareCost `json:"storage"`
	Beside   []Beside    `json:"beside_the_model"`
	Load     Workload    `json:"load"` // as the model was given it
}

// ShareCost is what it costs a month to keep what a share holds now.
type ShareCost struct {
	Share   string  `json:"share"`
	GiB     float64 `json:"gib"`
	Objects int64   `json:"objects"`
	Month   float64 `json:"month"`
}

// Beside is a figure as it was measured and as the model says for the same load.
type Beside struct {
	Figure   string  `json:"figure"`
	Measured float64 `json:"measured"`
	Model    float64 `json:"model"`
}

// Measure prices what was done between two moments. like says how the cluster is configured: its rates are replaced by those that
// were measured, while something was done.
func Measure(from, until time.Time, uses []Use, kept []Kept, like Workload, p *Prices) (*Measured, error) {
	r, err := p.region(like.Region)
	if err != nil {
		return nil, err
	}
	m := &Measured{From: from, Until: until, Date: p.Date, Currency: p.Currency, Region: like.Region, Spent: []Spent{}, Storage: []ShareCost{}}
	months := until.Sub(from).Hours() / p.MonthHours
	var all meter.Counts
	var active time.Duration
	writes, reads := map[string]bool{}, map[string]bool{}
	for _, u := range uses {
		all.Add(&u.Counts)
		active = max(active, u.Active)
		if u.Counts[meter.ProduceBytes] > 0 {
			writes[u.Share] = true
		}
		if u.Counts[meter.FetchBytes] > 0 {
			reads[u.Group] = true
		}
		m.Spent = append(m.Spent, r.spent(u.Group, u.Share, &u.Counts, months))
	}
	m.All = r.spent("", "", &all, months)
	if m.All.In > 0 {
		m.All.Cents = 100 * m.All.Cost / m.All.In
	}
	m.store(r, kept)
	if m.All.In == 0 || active <= 0 {
		return m, nil // there is nothing to compare
	}
	mibps := func(gib float64) float64 { return gib * 1024 / active.Seconds() }
	like.Write, like.Read, like.Compression = mibps(m.All.In), mibps(m.All.Out), 1
	like.Shares, like.ReadGroups = max(1, len(writes)), max(1, len(reads))
	m.Load = like
	l, err := newLoad(&like, p)
	if err != nil {
		return nil, err
	}
	bill := l.isthmus()
	a := func(figure string, measured, model float64) {
		m.Beside = append(m.Beside, Beside{figure, measured, model})
	}
	s := l.shape()
	perGiB := func(aSecond float64) float64 { return aSecond * 1024 / l.w }
	a("PUT a GiB written", float64(m.All.Puts)/m.All.In, perGiB(s.puts))
	a("GET a GiB written", float64(m.All.Gets)/m.All.In, perGiB(s.gets))
	a("cents a GiB written, requests", 100*m.All.Cost/m.All.In, RequestCents(&bill, l.written))
	a("requests hedged, of a hundred", 100*float64(m.All.Hedged)/float64(max(1, m.All.Puts+m.All.Gets)),
		100*(s.puts+s.gets-s.puts/(1+p.Isthmus.HedgedPuts)-s.gets/(1+p.Isthmus.HedgedGets))/(s.puts+s.gets))
	a("MiB an object", m.All.Stored*1024/float64(max(1, m.All.Puts)), l.w/s.puts)
	return m, nil
}

// store prices what is kept, each share by the mean price of all.
func (m *Measured) store(r *Region, kept []Kept) {
	const gib = 1 << 30
	total := 0.0
	for _, k := range kept {
		total += float64(k.Bytes) / gib
	}
	for _, k := range kept {
		c := ShareCost{Share: k.Share, GiB: float64(k.Bytes) / gib, Objects: k.Objects}
		if total > 0 {
			c.Month = r.storage(total) * c.GiB / total
		}
		m.Storage = append(m.Storage, c)
	}
}

// spent prices counts that were made in so many months. Whatever was sent is priced, though S3 may not charge for what it throttles.
func (r *Region) spent(group, share string, c *meter.Counts, months float64) Spent {
	const gib = 1 << 30
	s := Spent{
		Group: group, Share: share, Kafka: c[meter.ProduceRequests] + c[meter.FetchRequests],
		In: float64(c[meter.ProduceBytes]) / gib, Out: float64(c[meter.FetchBytes]) / gib,
		Puts: c.Calls(meter.Put) + c.Calls(meter.Multipart), Gets: c.Calls(meter.Get) + c.Calls(meter.Head), Lists: c.Calls(meter.List), Deletes: c.Calls(meter.Delete),
		Hedged: c[meter.HedgedPuts] + c[meter.HedgedGets], Throttled: c.Became(meter.Throttled), Failed: c.Became(meter.Failed),
		Stored: float64(c[meter.PutBytes]) / gib, Read: float64(c[meter.GetBytes]) / gib,
	}
	s.Cost = (float64(s.Puts)*r.S3.Put + float64(s.Gets)*r.S3.Get + float64(s.Lists)*r.S3.List + float64(s.Deletes)*r.S3.Delete) / 1000
	if months > 0 {
		s.Month = s.Cost / months
	}
	if moved := s.In + s.Out; moved > 0 {
		s.Cents = 100 * s.Cost / moved
	}
	return s
}
