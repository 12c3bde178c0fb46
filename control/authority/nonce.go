package authority

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	nonceLife   = time.Minute
	nonceBytes  = 8 + 16 + sha256.Size // time, random, authentication
	nonceRandom = 16
	// maxUsed bounds the nonces that are remembered as used: more logins a minute are refused.
	maxUsed = 100_000
)

var (
	// ErrNonce: the nonce is not one of this leader's, too old, or used before. Another one may help.
	ErrNonce = errors.New("the nonce is not one of this leader's, too old, or used before")
	// ErrBusy: too many have logged in within a minute.
	ErrBusy = errors.New("too many logins within a minute")
)

// Nonces gives the nonces of one term and takes each of them back once. To give costs no memory, so that nobody
// fills it by asking.
type Nonces struct {
	key [32]byte
	now func() time.Duration // monotonic

	mu    sync.Mutex
	used  map[[nonceRandom]byte]time.Duration // until when it is remembered
	swept time.Duration
}

// NewNonces draws a key. now is a monotonic clock: a jump of the wall clock makes no nonce good again.
func NewNonces(now func() time.Duration) (*Nonces, error) {
	n := &Nonces{now: now, used: map[[nonceRandom]byte]time.Duration{}}
	if _, err := rand.Read(n.key[:]); err != nil {
		return nil, fmt.Errorf("draw the key of nonces: %w", err)
	}
	return n, nil
}

// Give makes a nonce.
func (n *Nonces) Give() ([]byte, error) {
	b := make([]byte, 8+nonceRandom, nonceBytes)
	binary.BigEndian.PutUint64(b, uint64(n.now()))
	if _, err := rand.Read(b[8:]); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	return n.seal(b), nil
}

func (n *Nonces) seal(b []byte) []byte {
	h := hmac.New(sha256.New, n.key[:])
	h.Write(b)
	return h.Sum(b)
}

// Take uses a nonce up.
func (n *Nonces) Take(nonce []byte) error {
	if len(nonce) != nonceBytes {
		return ErrNonce
	}
	body := append([]byte(nil), nonce[:8+nonceRandom]...)
	if !hmac.Equal(n.seal(body), nonce) {
		return ErrNonce
	}
	given := time.Duration(binary.BigEndian.Uint64(nonce))
	id := [nonceRandom]byte(nonce[8 : 8+nonceRandom])
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	if given > now || now-given >= nonceLife {
		return ErrNonce
	}
	if _, seen := n.used[id]; seen {
		return ErrNonce
	}
	n.sweep(now)
	if len(n.used) >= maxUsed {
		return ErrBusy
	}
	n.used[id] = given + nonceLife
	return nil
}

// sweep forgets the nonces that are too old anyway; once a second is often enough.
func (n *Nonces) sweep(now time.Duration) {
	if now-n.swept < time.Second {
		return
	}
	n.swept = now
	for id, until := range n.used {
		if until <= now {
			delete(n.used, id)
		}
	}
}
