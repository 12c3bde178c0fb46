package cost

// Kinds of lines.
const (
	Compute  = "compute"
	Storage  = "storage"
	Requests = "requests"
	Traffic  = "traffic"
	Licence  = "licence"
)

// Kinds lists the kinds in the order of a table.
func Kinds() []string { return []string{Compute, Storage, Requests, Traffic, Licence} }

// Line is one position of a bill.
type Line struct {
	Name     string  `json:"name"`
	Kind     string  `json:"kind"`
	Quantity float64 `json:"quantity"` // of a month
	Unit     string  `json:"unit"`
	Price    float64 `json:"price"` // of one unit; of storage in steps, the mean
	Month    float64 `json:"month"` // Quantity times Price
	Formula  string  `json:"formula"`
}

// Bill is what one system costs a month.
type Bill struct {
	System string   `json:"system"`
	Lines  []Line   `json:"lines"`
	Total  float64  `json:"total"`
	Cents  float64  `json:"cents_per_gib"` // written, on the wire; 0 where nothing is
	Notes  []string `json:"notes,omitempty"`
}

func (b *Bill) add(kind, name string, quantity float64, unit string, price float64, formula string) {
	b.put(Line{Name: name, Kind: kind, Quantity: quantity, Unit: unit, Price: price, Month: quantity * price, Formula: formula})
}

func (b *Bill) put(l Line) {
	b.Lines = append(b.Lines, l)
	b.Total += l.Month
}

func (b *Bill) note(text string) { b.Notes = append(b.Notes, text) }

// addStorage adds object storage, whose price falls in steps.
func (b *Bill) addStorage(r *Region, name string, gib float64, formula string) {
	l := Line{Name: name, Kind: Storage, Quantity: gib, Unit: "GiB-month", Month: r.storage(gib), Price: r.S3Storage[0].GBMonth, Formula: formula}
	if gib > 0 {
		l.Price = l.Month / gib
	}
	b.put(l)
}

// Of sums the lines of a kind.
func (b *Bill) Of(kind string) (sum float64) {
	for _, l := range b.Lines {
		if l.Kind == kind {
			sum += l.Month
		}
	}
	return sum
}

func (b *Bill) per(gib float64) Bill {
	if gib > 0 {
		b.Cents = 100 * b.Total / gib
	}
	return *b
}

// Estimate is what a workload costs on each system, and what the ways into another account add.
type Estimate struct {
	Workload Workload `json:"workload"`
	Date     string   `json:"prices_of"`
	Currency string   `json:"currency"`
	Written  float64  `json:"written_gib_month"` // on the wire
	Bills    []Bill   `json:"bills"`
	Ways     []Bill   `json:"ways_into_another_account"` // each is what it adds
}

// Reckon prices a workload.
func Reckon(w Workload, p *Prices) (*Estimate, error) {
	l, err := newLoad(&w, p)
	if err != nil {
		return nil, err
	}
	return &Estimate{
		Workload: w, Date: p.Date, Currency: p.Currency, Written: l.written,
		Bills: []Bill{l.isthmus(), l.kafka("Apache Kafka", false, false), l.kafka("Apache Kafka, fetch from follower", true, false),
			l.kafka("Apache Kafka, fetch from follower, tiered storage", true, true), l.warpstream()},
		Ways: l.ways(),
	}, nil
}
