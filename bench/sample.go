package main

import "github.com/isthmusdata/isthmus/internal/bench"

// System is what a case is run on.
type System string

// The systems.
const (
	Isthmus  System = "isthmus"
	KafkaRF1 System = "kafka-rf1" // one broker: the fastest that loses data with its disk
	KafkaRF3 System = "kafka-rf3" // three brokers, min.insync.replicas=2: as durable as isthmus
)

// Sample is what one case found on one system in one round. What a case does not measure is 0.
type Sample struct {
	Case   string `json:"case"`
	System System `json:"system"`
	Round  int    `json:"round"`

	Seconds           float64 `json:"seconds"`
	MB                float64 `json:"mb"` // produced and consumed together
	ProducedMB        float64 `json:"produced_mb"`
	ConsumedMB        float64 `json:"consumed_mb"`
	MBPerSecond       float64 `json:"mb_per_second"`
	CPUSeconds        float64 `json:"cpu_seconds"`
	OtherCPUSeconds   float64 `json:"other_cpu_seconds"` // of processes that are neither the system nor the load
	MBPerCPUSecond    float64 `json:"mb_per_cpu_second"`
	ResidentMB        float64 `json:"resident_mb"` // of all processes, at the end
	ProduceP50Ms      float64 `json:"produce_p50_ms"`
	ProduceP99Ms      float64 `json:"produce_p99_ms"`
	EndToEndP50Ms     float64 `json:"e2e_p50_ms"`
	EndToEndP99Ms     float64 `json:"e2e_p99_ms"`
	Puts              float64 `json:"puts"`
	Gets              float64 `json:"gets"`
	CentsPerGiB       float64 `json:"cents_per_gib"`
	PlacementsPerCore float64 `json:"placements_per_core_second"`
	BytesPerEntry     float64 `json:"index_bytes_per_entry"`

	// Extra is what one family of cases alone measures, by a name with its unit.
	Extra map[string]float64 `json:"extra,omitempty"`
}

// from takes what a load found.
func from(r bench.Result) Sample {
	s := Sample{
		Seconds: r.Seconds, ProducedMB: r.ProducedMBPerSecond * r.Seconds, ConsumedMB: r.ConsumedMBPerSecond * r.Seconds,
		CPUSeconds: r.Servers.CPUSeconds, ResidentMB: float64(r.Servers.ResidentBytes) / 1e6, OtherCPUSeconds: r.Servers.OtherCPUSeconds,
		ProduceP50Ms: r.Produce.P50, ProduceP99Ms: r.Produce.P99, EndToEndP50Ms: r.EndToEnd.P50, EndToEndP99Ms: r.EndToEnd.P99,
	}
	s.MB = s.ProducedMB + s.ConsumedMB
	s.MBPerSecond = s.MB / s.Seconds
	if s.CPUSeconds > 0 {
		s.MBPerCPUSecond = s.MB / s.CPUSeconds
	}
	return s
}
