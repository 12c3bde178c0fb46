package cost

import (
	_ "embed" // prices.yaml
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/isthmusdata/isthmus/internal/units"
)

//go:embed prices.yaml
var pricesFile []byte

// PricesFile is the embedded file, as it is printed.
func PricesFile() []byte { return slices.Clone(pricesFile) }

// Prices is what a file of prices says.
type Prices struct {
	Date       string              `yaml:"date"` // year-month-day: when they were known
	Currency   string              `yaml:"currency"`
	MonthHours float64             `yaml:"month_hours"`
	Sources    []string            `yaml:"sources"`
	Regions    map[string]Region   `yaml:"regions"`
	Instances  map[string]Instance `yaml:"instances"`
	Isthmus    IsthmusFigures      `yaml:"isthmus"`
	Kafka      KafkaFigures        `yaml:"kafka"`
	WarpStream WarpStreamFigures   `yaml:"warpstream"`
}

// Region is the price list of a region.
type Region struct {
	S3Storage []Step `yaml:"s3_storage"`
	S3        struct {
		Put    float64 `yaml:"put"`
		Get    float64 `yaml:"get"` // and HEAD
		List   float64 `yaml:"list"`
		Delete float64 `yaml:"delete"`
	} `yaml:"s3_per_1000"`
	EBS struct {
		GBMonth    float64 `yaml:"gb_month"`
		MiBpsMonth float64 `yaml:"mibps_month"`
		FreeMiBps  float64 `yaml:"free_mibps"` // of each volume
	} `yaml:"ebs_gp3"`
	EC2Hour           map[string]float64 `yaml:"ec2_hour"`
	CrossZoneGB       float64            `yaml:"cross_zone_gb"` // at each end
	InterfaceEndpoint struct {
		ZoneHour float64 `yaml:"zone_hour"`
		GB       float64 `yaml:"gb"`
	} `yaml:"interface_endpoint"`
	NLB struct {
		Hour    float64 `yaml:"hour"`
		LCUHour float64 `yaml:"lcu_hour"`
	} `yaml:"nlb"`
	TransitGateway struct {
		AttachmentHour float64 `yaml:"attachment_hour"`
		GB             float64 `yaml:"gb"`
	} `yaml:"transit_gateway"`
	NATGateway struct {
		Hour float64 `yaml:"hour"`
		GB   float64 `yaml:"gb"`
	} `yaml:"nat_gateway"`
}

// Step is a price up to an amount; the last step has no end and says 0.
type Step struct {
	UpToGB  float64 `yaml:"up_to_gb"`
	GBMonth float64 `yaml:"gb_month"`
}

// Instance is a kind of virtual machine.
type Instance struct {
	VCPU        float64 `yaml:"vcpu"`
	NetworkGbit float64 `yaml:"network_gbit"`
	EBSGbit     float64 `yaml:"ebs_gbit"`
}

// IsthmusFigures says what isthmus needs.
type IsthmusFigures struct {
	Agent         string  `yaml:"agent"`
	Control       string  `yaml:"control"`
	ControlNodes  float64 `yaml:"control_nodes"`
	ControlDiskGB float64 `yaml:"control_disk_gb"`
	ProduceMB     float64 `yaml:"produce_mb_per_cpu_second"`
	FetchMB       float64 `yaml:"fetch_mb_per_cpu_second"`
	Utilization   float64 `yaml:"utilization"`
	HedgedPuts    float64 `yaml:"hedged_puts"`
	HedgedGets    float64 `yaml:"hedged_gets"`
	LeastFlushKiB float64 `yaml:"least_flush_kib"`
	RowBytes      float64 `yaml:"row_bytes"`
}

// KafkaFigures says what Apache Kafka needs.
type KafkaFigures struct {
	Broker           string  `yaml:"broker"`
	Controller       string  `yaml:"controller"`
	Controllers      float64 `yaml:"controllers"`
	ControllerDiskGB float64 `yaml:"controller_disk_gb"`
	Replication      float64 `yaml:"replication"`
	ProduceMB        float64 `yaml:"produce_mb_per_cpu_second"`
	FetchMB          float64 `yaml:"fetch_mb_per_cpu_second"`
	Utilization      float64 `yaml:"utilization"`
	DiskUtilization  float64 `yaml:"disk_utilization"`
	TieredLocalHours float64 `yaml:"tiered_local_hours"`
	TieredPartMiB    float64 `yaml:"tiered_part_mib"`
	MirrorMB         float64 `yaml:"mirror_mb_per_cpu_second"`
	MirrorWorker     string  `yaml:"mirror_worker"`
}

// WarpStreamFigures is WarpStream's price list, and what its benchmark needed.
type WarpStreamFigures struct {
	ClusterMonth   float64 `yaml:"cluster_month"`
	WrittenGiB     float64 `yaml:"written_gib"`
	StoredGiBMonth float64 `yaml:"stored_gib_month"`
	MiBPerVCPU     float64 `yaml:"mib_per_vcpu"`
	PutsPerGiB     float64 `yaml:"puts_per_gib"`
	GetsPerGiB     float64 `yaml:"gets_per_gib"`
}

// DefaultPrices are the embedded ones.
func DefaultPrices() (*Prices, error) { return ParsePrices(pricesFile) }

// ParsePrices reads a file of prices. Every key must be there and none that is not known, for a price that is missing would
// cost nothing.
func ParsePrices(file []byte) (*Prices, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(file, &root); err != nil {
		return nil, fmt.Errorf("read the prices: %w", err)
	}
	if len(root.Content) != 1 {
		return nil, errors.New("read the prices: the file is empty (print one with: isthmus cost prices)")
	}
	var faults []error
	compareKeys("", root.Content[0], reflect.TypeFor[Prices](), &faults)
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	p := &Prices{}
	if err := root.Decode(p); err != nil {
		return nil, fmt.Errorf("read the prices: %w", err)
	}
	return p, p.validate()
}

// compareKeys holds the keys of a node against the fields of the type that it becomes.
func compareKeys(path string, n *yaml.Node, t reflect.Type, faults *[]error) {
	bad := func(format string, args ...any) {
		*faults = append(*faults, fmt.Errorf("prices, line %d: %s", n.Line, fmt.Sprintf(format, args...)))
	}
	switch t.Kind() {
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			bad("%s is not a list", path)
			return
		}
		for i, item := range n.Content {
			compareKeys(fmt.Sprintf("%s[%d]", path, i), item, t.Elem(), faults)
		}
	case reflect.Map, reflect.Struct:
		if n.Kind != yaml.MappingNode {
			bad("%s has no keys", strings.TrimPrefix(path+" ", " "))
			return
		}
		fields, there := map[string]reflect.Type{}, map[string]bool{}
		if t.Kind() == reflect.Struct {
			for f := range t.Fields() {
				fields[f.Tag.Get("yaml")] = f.Type
			}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i].Value, n.Content[i+1]
			there[key] = true
			switch of, known := fields[key]; {
			case t.Kind() == reflect.Map:
				compareKeys(join(path, key), value, t.Elem(), faults)
			case known:
				compareKeys(join(path, key), value, of, faults)
			default:
				text := fmt.Sprintf("unknown key %q", join(path, key))
				if near := units.Nearest(key, slices.Collect(maps.Keys(fields))); near != "" {
					text += fmt.Sprintf(": did you mean %q?", near)
				}
				bad("%s", text)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if !there[name] {
				bad("%q is missing", join(path, name))
			}
		}
	}
}

func join(path, key string) string { return strings.TrimPrefix(path+"."+key, ".") }

// validate reports every value that cannot be reckoned with.
func (p *Prices) validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("prices: "+format, args...)) }
	if _, err := time.Parse(time.DateOnly, p.Date); err != nil {
		bad("date %q: write it as 2026-11-25", p.Date)
	}
	if len(p.Regions) == 0 {
		bad("there is no region")
	}
	p.eachNumber(func(name string, v float64) {
		if !(v >= 0 && v < 1e9) {
			bad("%s is %v: write a number from 0 on", name, v)
		}
	})
	i, k, w := &p.Isthmus, &p.Kafka, &p.WarpStream
	for name, v := range map[string]float64{
		"month_hours": p.MonthHours, "isthmus.control_nodes": i.ControlNodes, "isthmus.produce_mb_per_cpu_second": i.ProduceMB,
		"isthmus.fetch_mb_per_cpu_second": i.FetchMB, "isthmus.utilization": i.Utilization, "isthmus.least_flush_kib": i.LeastFlushKiB,
		"kafka.replication": k.Replication, "kafka.produce_mb_per_cpu_second": k.ProduceMB, "kafka.fetch_mb_per_cpu_second": k.FetchMB,
		"kafka.utilization": k.Utilization, "kafka.disk_utilization": k.DiskUtilization, "kafka.tiered_part_mib": k.TieredPartMiB,
		"kafka.mirror_mb_per_cpu_second": k.MirrorMB, "warpstream.mib_per_vcpu": w.MiBPerVCPU,
	} {
		if v == 0 {
			bad("%s is 0, and something is divided by it", name)
		}
	}
	for name, v := range map[string]float64{"isthmus.utilization": i.Utilization, "kafka.utilization": k.Utilization, "kafka.disk_utilization": k.DiskUtilization} {
		if v > 1 {
			bad("%s is %v, of at most 1", name, v)
		}
	}
	if k.Replication < 1 || i.ControlNodes < 1 {
		bad("kafka.replication and isthmus.control_nodes are at least 1")
	}
	for name, kind := range p.Instances {
		if kind.VCPU == 0 || kind.NetworkGbit == 0 || kind.EBSGbit == 0 {
			bad("instance %s has neither 0 vcpu nor 0 bandwidth", name)
		}
	}
	used := []string{i.Agent, i.Control, k.Broker, k.Controller, k.MirrorWorker}
	for _, name := range used {
		if _, ok := p.Instances[name]; !ok {
			bad("instance %q is used and not described under instances", name)
		}
	}
	for name, r := range p.Regions {
		for _, kind := range used {
			if _, ok := r.EC2Hour[kind]; !ok {
				bad("region %s has no price of instance %q under ec2_hour", name, kind)
			}
		}
		for j, s := range r.S3Storage {
			if last := j == len(r.S3Storage)-1; last != (s.UpToGB == 0) || j > 0 && !last && s.UpToGB <= r.S3Storage[j-1].UpToGB {
				bad("region %s: the steps of s3_storage rise, and the last one alone has up_to_gb 0", name)
			}
		}
		if len(r.S3Storage) == 0 {
			bad("region %s has no s3_storage", name)
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// eachNumber visits every number of the file by its name.
func (p *Prices) eachNumber(visit func(name string, v float64)) {
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Float64:
			visit(path, v.Float())
		case reflect.Struct:
			for f, value := range v.Fields() {
				walk(join(path, f.Tag.Get("yaml")), value)
			}
		case reflect.Map:
			for key, value := range v.Seq2() {
				walk(join(path, key.String()), value)
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
			}
		}
	}
	walk("", reflect.ValueOf(*p))
}

// Region finds the prices of a region.
func (p *Prices) region(name string) (*Region, error) {
	if r, ok := p.Regions[name]; ok {
		return &r, nil
	}
	known := slices.Sorted(maps.Keys(p.Regions))
	return nil, fmt.Errorf("there are no prices of region %q, only of %s (add it to a copy of: isthmus cost prices)", name, strings.Join(known, ", "))
}

// storage prices an amount step by step.
func (r *Region) storage(gb float64) (money float64) {
	from := 0.0
	for _, s := range r.S3Storage {
		if s.UpToGB == 0 || gb <= s.UpToGB {
			return money + (gb-from)*s.GBMonth
		}
		money += (s.UpToGB - from) * s.GBMonth
		from = s.UpToGB
	}
	return money
}
