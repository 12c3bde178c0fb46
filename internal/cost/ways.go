package cost

// ways is what it adds to let all consumers stand in another account's VPC, the fan-out included. Consumers of Kafka fetch
// from followers, so that nothing is counted twice.
func (l *load) ways() []Bill {
	r, k, hours := l.r, &l.p.Kafka, l.p.MonthHours
	zones := float64(l.Zones)
	s := l.shape()

	gateway := Bill{System: "isthmus: agents there, S3 gateway endpoint"}
	gateway.add(Traffic, "S3 through a gateway endpoint", l.month(l.pulled()), "GiB", 0, "free in the bucket's region")
	gateway.note("the fetch agents are in the bill above, wherever they stand; no network is joined")

	private := Bill{System: "isthmus: the same, control plane through PrivateLink"}
	private.add(Traffic, "interface endpoint", zones*hours, "hours", r.InterfaceEndpoint.ZoneHour, "zones · month_hours")
	told := l.month(s.segments * min(float64(l.Partitions), maxRows) * l.p.Isthmus.RowBytes * s.fetch / (1 << 20))
	private.add(Traffic, "index, through the endpoint", told, "GiB", r.InterfaceEndpoint.GB, "segments · min(partitions, 8192) · row_bytes · fetch_agents · month")
	private.add(Traffic, "network load balancer", hours, "hours", r.NLB.Hour, "month_hours")

	nat := Bill{System: "isthmus: a NAT gateway where the S3 gateway endpoint was forgotten"}
	nat.add(Traffic, "NAT gateways", zones*hours, "hours", r.NATGateway.Hour, "zones · month_hours")
	nat.add(Traffic, "S3 through NAT", l.month(l.pulled()), "GiB", r.NATGateway.GB, "w · zones · read_groups · month / 1024")

	peering := Bill{System: "Kafka: VPC peering"}
	peering.add(Traffic, "peering, within a zone", l.read, "GiB", 0, "free within a zone")
	peering.note("the two networks become one: addresses may not overlap, every broker is reachable, walls are security groups")

	transit := Bill{System: "Kafka: transit gateway"}
	transit.add(Traffic, "attachments", 2*hours, "hours", r.TransitGateway.AttachmentHour, "2 · month_hours")
	transit.add(Traffic, "through the gateway", l.read, "GiB", r.TransitGateway.GB, "r · month / 1024")

	link := Bill{System: "Kafka: PrivateLink"}
	link.add(Traffic, "interface endpoint", zones*hours, "hours", r.InterfaceEndpoint.ZoneHour, "zones · month_hours")
	link.add(Traffic, "through the endpoint", l.read, "GiB", r.InterfaceEndpoint.GB, "r · month / 1024")
	link.add(Traffic, "network load balancer", hours, "hours", r.NLB.Hour, "month_hours")
	link.add(Traffic, "load balancer, by the GiB", l.read, "LCU-hours", r.NLB.LCUHour, "r · month / 1024")

	// The first cluster is relieved of the consumers, which read from the second; the mirror reads once.
	second := l.kafkaOf("Kafka: a second cluster, kept in step by MirrorMaker 2", l.w, l.rd, l.Retention, true, false)
	workers := 0.0
	if l.w > 0 {
		workers = l.machines(k.MirrorWorker, zones, k.Utilization, cpu(l.w, k.MirrorMB), 2*l.w, 0)
	}
	second.add(Compute, "MirrorMaker workers, "+k.MirrorWorker, workers*hours, "hours", r.EC2Hour[k.MirrorWorker], "workers · month_hours")
	second.note("peering or PrivateLink between the two for the mirror comes on top; the first cluster needs fewer brokers than with all consumers on it")
	second.Cents = 0

	all := []Bill{gateway, private, nat, peering, transit, link, second}
	for i := range all {
		all[i] = all[i].per(l.written)
	}
	return all
}
