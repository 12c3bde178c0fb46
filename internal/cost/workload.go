package cost

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Workload is what is written, read and kept.
type Workload struct {
	Write       float64       `json:"write_mib_per_second"` // as applications count it
	Read        float64       `json:"read_mib_per_second"`  // by all consumers together
	Retention   time.Duration `json:"retention_ns"`
	Zones       int           `json:"zones"`
	Region      string        `json:"region"`
	Compression float64       `json:"compression"` // size as applications count it, of the size on the wire: 4 is 4:1
	Partitions  int           `json:"partitions"`  // that are written to
	Shares      int           `json:"shares"`
	ReadGroups  int           `json:"read_groups"`              // groups of fetch agents, each in an account or VPC of its own
	Agents      int           `json:"produce_agents,omitempty"` // that there are; 0: as many as are needed
	ReadZones   int           `json:"read_zones,omitempty"`     // of all read groups together, in which somebody reads; 0: all of each

	Flush      time.Duration `json:"flush_interval_ns"`
	SegmentMiB float64       `json:"segment_mib"`
	// ZoneAware says that clients of isthmus find the agents of their zone (zone= in client.id).
	ZoneAware bool `json:"zone_aware"`
}

// DefaultWorkload is a load to begin with, at the defaults of an agent.
func DefaultWorkload() Workload {
	return Workload{Write: 100, Read: 300, Retention: 7 * 24 * time.Hour, Zones: 3, Region: "us-east-1", Compression: 1, Partitions: 96,
		Shares: 1, ReadGroups: 1, Flush: 200 * time.Millisecond, SegmentMiB: 4, ZoneAware: true}
}

// Validate reports every fault at once.
func (w *Workload) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	rate := func(v float64) bool { return v >= 0 && v <= 1<<30 }
	check(rate(w.Write), "write %v: MiB a second, from 0 on", w.Write)
	check(rate(w.Read), "read %v: MiB a second, from 0 on", w.Read)
	check(w.Retention >= 0 && w.Retention <= 100*365*24*time.Hour, "retention %v: from 0 to a hundred years", w.Retention)
	check(w.Zones >= 1 && w.Zones <= 6, "zones %d: from 1 to 6", w.Zones)
	check(w.Compression >= 0.1 && w.Compression <= 1000, "compression %v: how many bytes become one, such as 4", w.Compression)
	check(w.Partitions >= 1 && w.Partitions <= 1_000_000, "partitions %d: from 1 to 1,000,000", w.Partitions)
	check(w.Shares >= 1 && w.Shares <= 1000, "shares %d: from 1 to 1000", w.Shares)
	check(w.ReadGroups >= 1 && w.ReadGroups <= 1000, "read groups %d: from 1 to 1000", w.ReadGroups)
	check(w.ReadZones >= 0 && w.ReadZones <= 6000, "read zones %d: from 0 to 6000", w.ReadZones)
	check(w.Agents >= 0 && w.Agents <= 100_000, "produce agents %d: from 0 to 100,000", w.Agents)
	check(w.Flush >= 25*time.Millisecond && w.Flush <= time.Second, "flush interval %v: from 25ms to 1s", w.Flush)
	check(w.SegmentMiB >= 0.0625 && w.SegmentMiB <= 64, "segment size %v MiB: from 64KiB to 64MiB", w.SegmentMiB)
	return errors.Join(faults...)
}

// load is a workload as the formulas want it.
type load struct {
	*Workload
	p *Prices
	r *Region

	w, rd   float64 // MiB a second on the wire
	seconds float64 // of a month
	written float64 // GiB a month on the wire
	read    float64
	away    float64 // part of clients' traffic that crosses zones when they do not care: (zones-1)/zones
	cross   float64 // price of a GiB that crosses
}

func newLoad(w *Workload, p *Prices) (*load, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	r, err := p.region(w.Region)
	if err != nil {
		return nil, err
	}
	l := &load{Workload: w, p: p, r: r, w: w.Write / w.Compression, rd: w.Read / w.Compression, seconds: p.MonthHours * 3600}
	l.written, l.read = l.month(l.w), l.month(l.rd)
	l.away, l.cross = float64(w.Zones-1)/float64(w.Zones), 2*r.CrossZoneGB
	return l, nil
}

// month turns MiB a second into GiB a month.
func (l *load) month(mibps float64) float64 { return mibps * l.seconds / 1024 }

// stored is what lies there at a rate after a time, in GiB.
func (l *load) stored(mibps float64, kept time.Duration) float64 {
	return mibps * kept.Seconds() / 1024
}

// machines is how many instances carry a load: at least so many, by processor (MB a second each of so many MB per CPU-second),
// by network and by EBS bandwidth (MiB a second).
func (l *load) machines(kind string, least float64, utilization float64, cpuSeconds, network, ebs float64) float64 {
	i := l.p.Instances[kind]
	const gbit = 8 * 1.048576e-3 // of a MiB
	n := math.Ceil(cpuSeconds/(i.VCPU*utilization) - 1e-9)
	n = max(n, math.Ceil(network*gbit/(i.NetworkGbit*utilization)-1e-9))
	n = max(n, math.Ceil(ebs*gbit/(i.EBSGbit*utilization)-1e-9))
	return max(n, least)
}

// cpu is the processor time a second that MiB a second take at MB per CPU-second.
func cpu(mibps, mb float64) float64 { return mibps * 1.048576 / mb }
