package fetch

import (
	"errors"
	"fmt"
	"time"
)

// Config bounds what the fetch path holds, waits for and asks of others.
type Config struct {
	// CacheBytes is what chunks read for the tail may hold while nobody reads them.
	CacheBytes int64
	// FlightBytes is what chunks being read, or being written to a client, may hold beyond CacheBytes.
	FlightBytes int64
	// CopiedBytes is what answers may hold of headers and small batches, which are copied; past it, answers
	// have one batch.
	CopiedBytes int64
	// ColdCacheBytes and ColdFlightBytes are the same for reads of history, which thus cannot
	// push out the tail nor take its memory.
	ColdCacheBytes  int64
	ColdFlightBytes int64
	// IdleBufferBytes is what buffers of chunks may hold that wait to be read into again, beyond all else.
	IdleBufferBytes int64
	// PrefetchBytes is how far the bytes of a cold partition are read ahead of its reader.
	PrefetchBytes int64
	// MaxResponseBytes caps fetch.max.bytes; as there, a first batch above it is still returned.
	MaxResponseBytes int64
	// MaxRequestPartitions bounds the partitions of one request and of one session.
	MaxRequestPartitions int
	// MaxRequestLocations bounds the locations that one request reads, beyond one for each partition.
	MaxRequestLocations int
	// MaxWait caps a client's max.wait.
	MaxWait time.Duration

	// PlanBytes is how far ahead the control plane is asked for locations.
	PlanBytes int64
	// PlanTimeout bounds one question to the control plane.
	PlanTimeout time.Duration
	// Patience is how long an answer that has records in hand waits for an open question
	// about its other partitions.
	Patience time.Duration
	// AskBackoff is how long a partition whose question failed is not asked about again.
	AskBackoff time.Duration
	// LocationLife is how long a location is used; deletion waits much longer (I7).
	LocationLife time.Duration
	// MaxLocations bounds the locations held over all partitions.
	MaxLocations int
	// MaxPartitions bounds the partitions watched at once.
	MaxPartitions int
	// WatchIdle is how long a partition that nobody fetches is still watched.
	WatchIdle time.Duration

	// MaxWaitingPartitions bounds the partitions of all requests that wait for records.
	MaxWaitingPartitions int

	// MaxSessions bounds incremental sessions (KIP-227), MaxSessionPartitions the partitions
	// of all of them, and MaxConnSessions those that one connection begins; SessionIdle is when one may
	// make room for another.
	MaxSessions          int
	MaxSessionPartitions int
	MaxConnSessions      int
	SessionIdle          time.Duration

	// MaxChunk is the largest object read whole; larger ones are read in ranges of ChunkAlign bytes.
	MaxChunk   int64
	ChunkAlign int64
	// CoalesceGap is the distance up to which two cold ranges of an object become one GET.
	CoalesceGap int64
	// ReadTimeout bounds the reading of one chunk with all its attempts.
	ReadTimeout time.Duration
	// ReadAttempts bounds the GETs of one chunk, hedges aside.
	ReadAttempts int
	// RetryBackoff is the wait before the second attempt; it doubles from there.
	RetryBackoff time.Duration
	// TailReads and ColdReads bound the GETs running at once for either.
	TailReads int
	ColdReads int
	// HedgeBudget is the share of GETs that may be asked twice, in percent.
	HedgeBudget int
	// HedgeFloor is the least wait before a GET is asked twice.
	HedgeFloor time.Duration

	// PeerTimeout is how long a chunk's owner may take to answer before the bucket is read instead.
	PeerTimeout time.Duration
	// PeerDialTimeout bounds connecting to a peer; PeerCooldown is how long a peer that failed is left alone.
	PeerDialTimeout time.Duration
	PeerCooldown    time.Duration
	// PeerConns bounds the idle connections kept to one peer, PeerServeConns the ones served.
	PeerConns      int
	PeerServeConns int
}

// Default returns the configuration of an agent with 256 MiB of cache.
func Default() Config {
	return Config{
		CacheBytes:           256 << 20,
		FlightBytes:          128 << 20,
		CopiedBytes:          64 << 20,
		ColdCacheBytes:       64 << 20,
		ColdFlightBytes:      64 << 20,
		IdleBufferBytes:      32 << 20,
		PrefetchBytes:        4 << 20,
		MaxResponseBytes:     50 << 20,
		MaxRequestPartitions: 100_000,
		MaxRequestLocations:  4096,
		MaxWait:              5 * time.Minute,
		PlanBytes:            64 << 20,
		PlanTimeout:          2 * time.Second,
		Patience:             100 * time.Millisecond,
		AskBackoff:           250 * time.Millisecond,
		LocationLife:         time.Minute,
		MaxLocations:         1 << 17,
		MaxPartitions:        100_000,
		WatchIdle:            5 * time.Minute,
		MaxWaitingPartitions: 200_000,
		MaxSessions:          20_000,
		MaxConnSessions:      8,
		MaxSessionPartitions: 1_000_000,
		SessionIdle:          2 * time.Minute,
		MaxChunk:             16 << 20,
		ChunkAlign:           4 << 20,
		CoalesceGap:          256 << 10,
		ReadTimeout:          10 * time.Second,
		ReadAttempts:         4,
		RetryBackoff:         50 * time.Millisecond,
		TailReads:            64,
		ColdReads:            16,
		HedgeBudget:          10,
		HedgeFloor:           5 * time.Millisecond,
		PeerTimeout:          time.Second,
		PeerDialTimeout:      250 * time.Millisecond,
		PeerCooldown:         time.Second,
		PeerConns:            8,
		PeerServeConns:       256,
	}
}

// Validate reports every fault at once.
func (c *Config) Validate() error {
	var faults []error
	positive := func(name string, v int64) {
		if v <= 0 {
			faults = append(faults, fmt.Errorf("fetch %s must be above 0, not %d", name, v))
		}
	}
	positive("cache bytes", c.CacheBytes)
	positive("copied bytes", c.CopiedBytes)
	positive("cold cache bytes", c.ColdCacheBytes)
	positive("max response bytes", c.MaxResponseBytes)
	positive("max request partitions", int64(c.MaxRequestPartitions))
	positive("max request locations", int64(c.MaxRequestLocations))
	positive("max wait", int64(c.MaxWait))
	positive("plan bytes", c.PlanBytes)
	positive("plan timeout", int64(c.PlanTimeout))
	positive("location life", int64(c.LocationLife))
	positive("max locations", int64(c.MaxLocations))
	positive("max partitions", int64(c.MaxPartitions))
	positive("watch idle", int64(c.WatchIdle))
	positive("max chunk", c.MaxChunk)
	positive("max waiting partitions", int64(c.MaxWaitingPartitions))
	positive("max sessions of a connection", int64(c.MaxConnSessions))
	positive("chunk align", c.ChunkAlign)
	positive("read timeout", int64(c.ReadTimeout))
	positive("read attempts", int64(c.ReadAttempts))
	positive("retry backoff", int64(c.RetryBackoff))
	positive("tail reads", int64(c.TailReads))
	positive("cold reads", int64(c.ColdReads))
	positive("peer timeout", int64(c.PeerTimeout))
	positive("peer dial timeout", int64(c.PeerDialTimeout))
	positive("peer conns", int64(c.PeerConns))
	positive("peer serve conns", int64(c.PeerServeConns))
	chunk := func(name string, v int64) {
		if v < c.MaxChunk {
			faults = append(faults, fmt.Errorf("fetch %s (%d) must hold at least one chunk (%d)", name, v, c.MaxChunk))
		}
	}
	chunk("flight bytes", c.FlightBytes)
	chunk("cold flight bytes", c.ColdFlightBytes)
	natural := func(name string, v int64) {
		if v < 0 {
			faults = append(faults, fmt.Errorf("fetch %s must be at least 0, not %d", name, v))
		}
	}
	natural("idle buffer bytes", c.IdleBufferBytes)
	natural("prefetch bytes", c.PrefetchBytes)
	natural("patience", int64(c.Patience))
	natural("ask backoff", int64(c.AskBackoff))
	natural("max sessions", int64(c.MaxSessions))
	natural("max session partitions", int64(c.MaxSessionPartitions))
	natural("session idle", int64(c.SessionIdle))
	natural("coalesce gap", c.CoalesceGap)
	natural("hedge floor", int64(c.HedgeFloor))
	natural("peer cooldown", int64(c.PeerCooldown))
	if c.HedgeBudget < 0 || c.HedgeBudget > 100 {
		faults = append(faults, fmt.Errorf("fetch hedge budget must lie between 0 and 100 percent, not %d", c.HedgeBudget))
	}
	return errors.Join(faults...)
}
