package wire

import (
	"errors"
	"fmt"
	"time"
)

// Config bounds what clients may ask of one listener.
type Config struct {
	// MaxFrame is the largest Produce request in bytes.
	MaxFrame int
	// MaxOtherFrame is the largest request of any other kind in bytes: a decoded one takes up to
	// forty times the memory of its frame.
	MaxOtherFrame int
	// MaxMemory caps the bytes of all requests that are being read or not yet answered.
	MaxMemory int64
	// MaxConnections caps open connections; more are accepted and closed at once.
	MaxConnections int
	// MaxInFlight caps the unanswered requests of one connection.
	MaxInFlight int
	// IdleTimeout closes a connection that has nothing in flight and sends nothing.
	IdleTimeout time.Duration
	// FrameTimeout is the time for a frame once its first byte has come, plus what the size takes
	// at FrameRate; it also bounds a TLS handshake.
	FrameTimeout time.Duration
	// FrameRate is the slowest upload that is waited for, in bytes a second.
	FrameRate int
	// StallTimeout cuts a frame of which nothing has come for so long while other requests wait for
	// the memory that it claims.
	StallTimeout time.Duration
	// WriteTimeout closes a connection whose peer takes nothing for so long.
	WriteTimeout time.Duration
}

// Default is the configuration for production.
func Default() Config {
	return Config{
		MaxFrame:       100 << 20,
		MaxOtherFrame:  16 << 20,
		MaxMemory:      256 << 20,
		MaxConnections: 20000,
		MaxInFlight:    64,
		IdleTimeout:    10 * time.Minute,
		FrameTimeout:   30 * time.Second,
		FrameRate:      256 << 10,
		StallTimeout:   time.Second,
		WriteTimeout:   30 * time.Second,
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var errs []error
	positive := func(name string, v int64) {
		if v <= 0 {
			errs = append(errs, fmt.Errorf("%s must be above 0, not %d", name, v))
		}
	}
	positive("max frame", int64(c.MaxFrame))
	positive("max other frame", int64(c.MaxOtherFrame))
	positive("max memory", c.MaxMemory)
	positive("max connections", int64(c.MaxConnections))
	positive("max in flight", int64(c.MaxInFlight))
	positive("idle timeout", int64(c.IdleTimeout))
	positive("frame timeout", int64(c.FrameTimeout))
	positive("frame rate", int64(c.FrameRate))
	positive("stall timeout", int64(c.StallTimeout))
	positive("write timeout", int64(c.WriteTimeout))
	if c.MaxFrame > 1<<30 || c.MaxOtherFrame > 1<<30 {
		errs = append(errs, errors.New("max frame must be at most 1 GiB"))
	}
	if c.MaxMemory < int64(c.MaxFrame) {
		errs = append(errs, fmt.Errorf("max memory (%d bytes) must hold one frame of %d bytes", c.MaxMemory, c.MaxFrame))
	}
	return errors.Join(errs...)
}
