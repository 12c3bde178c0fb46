package cost

import "time"

// brokers sizes Apache Kafka for what is written and read, MiB a second.
func (l *load) brokers(w, rd float64) float64 {
	k := &l.p.Kafka
	cpuSeconds := cpu(w, k.ProduceMB) + cpu(rd, k.FetchMB)
	network := w + 2*(k.Replication-1)*w + rd // from producers, between brokers at both ends, to consumers
	return l.machines(k.Broker, max(float64(l.Zones), k.Replication), k.Utilization, cpuSeconds, network, k.Replication*w)
}

// kafka is Apache Kafka on machines of one's own, a replica in each zone. Consumers read from the nearest replica (KIP-392) if follower;
// with tiered storage (KIP-405) disks hold the last hours alone.
func (l *load) kafka(system string, follower, tiered bool) Bill {
	return l.kafkaOf(system, l.w, l.rd, l.Retention, follower, tiered)
}

func (l *load) kafkaOf(system string, w, rd float64, kept time.Duration, follower, tiered bool) Bill {
	k, r := &l.p.Kafka, l.r
	b := Bill{System: system}
	n, hours := l.brokers(w, rd), l.p.MonthHours
	b.add(Compute, "brokers, "+k.Broker, n*hours, "hours", r.EC2Hour[k.Broker], "brokers · month_hours")
	b.add(Compute, "controllers, "+k.Controller, k.Controllers*hours, "hours", r.EC2Hour[k.Controller], "controllers · month_hours")
	b.add(Storage, "controllers' disks, EBS gp3", k.Controllers*k.ControllerDiskGB, "GiB-month", r.EBS.GBMonth, "controllers · controller_disk_gb")
	local := kept
	if tiered {
		local = min(kept, time.Duration(k.TieredLocalHours*float64(time.Hour)))
	}
	b.add(Storage, "brokers' disks, EBS gp3", l.stored(w, local)*k.Replication/k.DiskUtilization, "GiB-month", r.EBS.GBMonth,
		"w · local_retention / 1024 · replication / disk_utilization")
	b.add(Storage, "disk bandwidth, EBS gp3", max(0, w*k.Replication/k.Utilization-n*r.EBS.FreeMiBps), "MiB/s-month", r.EBS.MiBpsMonth,
		"max(0, w · replication / utilization − brokers · free_mibps)")
	if tiered {
		b.addStorage(r, "objects, S3 Standard", l.stored(w, kept), "w · retention / 1024")
		b.add(Requests, "PUT", w/k.TieredPartMiB*l.seconds/1000, "thousand", r.S3.Put, "w / tiered_part_mib · month")
		b.note("GET of tiered storage, by consumers that read history, is not reckoned with")
	}
	b.add(Traffic, "producers, between zones", l.month(w)*l.away, "GiB", l.cross, "w · (zones − 1) / zones · month / 1024")
	replicas := k.Replication - 1
	if l.Zones == 1 {
		replicas = 0
	}
	b.add(Traffic, "replication, between zones", l.month(w)*replicas, "GiB", l.cross, "w · (replication − 1) · month / 1024")
	crossing := l.month(rd) * l.away
	if follower {
		crossing = 0
	}
	b.add(Traffic, "consumers, between zones", crossing, "GiB", l.cross, "0 with fetch from follower, else r · (zones − 1) / zones · month / 1024")
	return b.per(l.month(w))
}

// warpstream is WarpStream BYOC by its public prices, on the machines that its benchmark needed.
func (l *load) warpstream() Bill {
	f, r, agent := &l.p.WarpStream, l.r, l.p.Isthmus.Agent
	b := Bill{System: "WarpStream BYOC, list prices"}
	n := l.machines(agent, float64(l.Zones), 1, (l.Write+l.Read)/f.MiBPerVCPU, l.w+l.w+l.pulled()+l.rd, 0)
	kept, written := l.stored(l.Write, l.Retention), l.month(l.Write)
	b.add(Compute, "agents, "+agent, n*l.p.MonthHours, "hours", r.EC2Hour[agent], "warpstream_agents · month_hours")
	b.addStorage(r, "objects, S3 Standard", l.stored(l.w, l.Retention), "w · retention / 1024")
	b.add(Requests, "PUT", f.PutsPerGiB*written/1000, "thousand", r.S3.Put, "puts_per_gib · write · month / 1024")
	b.add(Requests, "GET", f.GetsPerGiB*written/1000, "thousand", r.S3.Get, "gets_per_gib · write · month / 1024")
	b.add(Licence, "cluster, tier Pro", 1, "month", f.ClusterMonth, "1")
	b.add(Licence, "written, uncompressed", written, "GiB", f.WrittenGiB, "write · month / 1024")
	b.add(Licence, "stored, uncompressed", kept, "GiB-month", f.StoredGiBMonth, "write · retention / 1024")
	b.note("prices as published in 2026, first step of each; they fall with volume, to 0.003 and 0.004, by steps that are not public. Its requests are those of its benchmark of March 2024")
	return b.per(l.written)
}
