package cost

// maxRows is the most rows of a segment's manifest; it closes then.
const maxRows = 8192

// shape is how isthmus carries a load.
type shape struct {
	produce, fetch float64 // agents
	segments       float64 // a second
	puts, gets     float64 // a second
	metadata       float64 // MiB a second between agents and control nodes, over zones
}

// shape sizes isthmus. Nothing reads when Read is 0, and then there is no fetch agent.
func (l *load) shape() (s shape) {
	f, zones := &l.p.Isthmus, float64(l.Zones)
	s.produce = l.machines(f.Agent, zones, f.Utilization, cpu(l.w, f.ProduceMB), 2*l.w, 0)
	if l.Agents > 0 {
		s.produce = float64(l.Agents)
	}
	reading := 0.0 // zones of all groups in which something is read
	if l.rd > 0 {
		reading = l.readZones()
		pulled := reading * l.w // each zone of a group reads each byte from the bucket once
		s.fetch = l.machines(f.Agent, reading, f.Utilization, cpu(max(l.rd, pulled), f.FetchMB), pulled+2*l.rd, 0)
	}
	// Each produce agent has an open segment of each share. It is stored when it is full, and else once in an interval, if
	// there is anything to store.
	open := s.produce * float64(l.Shares)
	rate := l.w / open
	s.segments = open * max(rate/l.SegmentMiB, min(1/l.Flush.Seconds(), rate*1024/f.LeastFlushKiB))
	s.puts = s.segments * (1 + f.HedgedPuts)
	s.gets = s.segments * reading * (1 + f.HedgedGets)
	// A segment's rows go to the leader, from there to the other control nodes, and to every fetch agent.
	rows := min(float64(l.Partitions), maxRows)
	hops := l.away + min(f.ControlNodes-1, zones-1) + s.fetch*l.away
	s.metadata = s.segments * rows * f.RowBytes * hops / (1 << 20)
	return s
}

func (l *load) isthmus() Bill {
	f, r, s := &l.p.Isthmus, l.r, l.shape()
	b := Bill{System: "isthmus"}
	hours := l.p.MonthHours
	b.add(Compute, "produce agents, "+f.Agent, s.produce*hours, "hours", r.EC2Hour[f.Agent], "produce_agents · month_hours")
	b.add(Compute, "fetch agents, "+f.Agent, s.fetch*hours, "hours", r.EC2Hour[f.Agent], "fetch_agents · month_hours")
	b.add(Compute, "control nodes, "+f.Control, f.ControlNodes*hours, "hours", r.EC2Hour[f.Control], "control_nodes · month_hours")
	b.add(Storage, "control nodes' disks, EBS gp3", f.ControlNodes*f.ControlDiskGB, "GiB-month", r.EBS.GBMonth, "control_nodes · control_disk_gb")
	b.addStorage(r, "objects, S3 Standard", l.stored(l.w, l.Retention), "w · retention / 1024")
	b.add(Requests, "PUT", s.puts*l.seconds/1000, "thousand", r.S3.Put, "segments · (1 + hedged_puts) · month")
	b.add(Requests, "GET", s.gets*l.seconds/1000, "thousand", r.S3.Get, "segments · zones · read_groups · (1 + hedged_gets) · month")
	b.add(Requests, "DELETE", s.puts*l.seconds/1000, "thousand", r.S3.Delete, "as many as PUT")
	client := 0.0
	if !l.ZoneAware {
		client = (l.written + l.read) * l.away
	}
	b.add(Traffic, "clients, between zones", client, "GiB", l.cross, "0 with zone-aware clients, else (w + r) · (zones − 1) / zones · month / 1024")
	b.add(Traffic, "control plane, between zones", l.month(s.metadata), "GiB", l.cross,
		"segments · min(partitions, 8192) · row_bytes · ((zones − 1) / zones · (1 + fetch_agents) + min(control_nodes, zones) − 1) · month")
	b.add(Traffic, "S3 through a gateway endpoint", l.written+l.month(l.pulled()), "GiB", 0, "free in the bucket's region")
	b.note("objects are not compacted: a consumer that reads history asks for the ranges of small objects, which is not in the GET above")
	return b.per(l.written)
}

// pulled is what fetch agents read from the bucket, in MiB a second.
func (l *load) pulled() float64 {
	if l.rd == 0 {
		return 0
	}
	return l.w * l.readZones()
}

// readZones are the zones of all groups in which something is read.
func (l *load) readZones() float64 {
	if l.ReadZones > 0 {
		return float64(l.ReadZones)
	}
	return float64(l.Zones * l.ReadGroups)
}

// RequestCents is what requests cost for each GiB written, of a bill.
func RequestCents(b *Bill, gib float64) float64 {
	if gib <= 0 {
		return 0
	}
	return 100 * b.Of(Requests) / gib
}
