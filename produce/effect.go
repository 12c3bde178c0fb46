package produce

import (
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
)

// EffectKind says what the edge is asked to do.
type EffectKind uint8

const (
	// Upload: try to put Put once and report PutDone with its nonce.
	Upload EffectKind = iota + 1
	// CancelUpload: the attempt of Put's nonce is no longer needed. PutDone is still reported.
	CancelUpload
	// Send: give Commit to the stream of Session, after those sent before it.
	Send
	// Respond: give Answer to whoever sent Batch. Every batch gets one Respond or one Disconnect.
	Respond
	// Disconnect: close the connection of whoever sent Batch; what became of it is not known.
	Disconnect
	// Release: Batch's bytes are no longer read. It follows the Respond or Disconnect.
	Release
	// OpenStream: keep a commit stream of Session; report StreamUp and StreamDown.
	OpenStream
	// CloseStream: the stream of Session is no longer needed.
	CloseStream
	// AskEnd: ask the control plane to end Session, until it has answered; then SessionResolved.
	AskEnd
	// Login: get a new session, until there is one; then SessionStarted.
	Login
	// Tell: Report is for the log and the metrics.
	Tell
	// Drained: nothing is unanswered any more.
	Drained
)

// Effect is one thing that the writer asks of the edge. The edge carries effects out in order and
// waits for none of them.
type Effect struct {
	Kind    EffectKind
	Session uint64
	Put     *Put            // Upload, CancelUpload
	Commit  *segment.Commit // Send; never changed afterwards
	Batch   *Batch          // Respond, Disconnect, Release
	Answer  Answer          // Respond
	Report  *Report         // Tell
}

// Put is one attempt to store a sealed segment.
type Put struct {
	Cluster string
	Object  segment.Object
	Sealed  *segment.Sealed
	Hedge   bool
}

// PutResult is what became of an attempt.
type PutResult uint8

const (
	// PutStored: the object is there.
	PutStored PutResult = iota + 1
	// PutExists: an object was there already.
	PutExists
	// PutRetry: certainly not carried out; the same nonce may be tried again.
	PutRetry
	// PutThrottled: the same, because the store is asked more often than it allows.
	PutThrottled
	// PutDenied: refused by the store's walls, or there is no such bucket; somebody may mend it.
	PutDenied
	// PutInvalid: can never succeed.
	PutInvalid
	// PutUnknown: it may have been carried out, or may be later.
	PutUnknown
)

// String is the metrics label.
func (r PutResult) String() string {
	switch r {
	case PutStored:
		return "stored"
	case PutExists:
		return "exists"
	case PutRetry:
		return "retry"
	case PutThrottled:
		return "throttled"
	case PutDenied:
		return "denied"
	case PutInvalid:
		return "invalid"
	case PutUnknown:
		return "unknown"
	default:
		return fmt.Sprintf("PutResult(%d)", uint8(r))
	}
}

// ReportKind says what a Report is about.
type ReportKind uint8

const (
	// SegmentStored: an upload succeeded.
	SegmentStored ReportKind = iota + 1
	// SegmentAbandoned: a sealed segment will never be committed.
	SegmentAbandoned
	// SegmentAnswered: the control plane has decided a segment.
	SegmentAnswered
	// HedgeStarted: an upload was slow, and a second one began.
	HedgeStarted
	// HedgeWon: a hedge was stored first.
	HedgeWon
	// HedgeRefused: an upload was slow, but the budget was spent.
	HedgeRefused
	// ForeignObject: an object was found under a key that nobody else could have known.
	ForeignObject
	// ClientsDisconnected: what became of a segment's batches cannot be known any more.
	ClientsDisconnected
	// Protocol: the control plane said something that cannot be.
	Protocol
	// Ended: the session has ended, or is to be ended.
	Ended
)

// Report tells people what happened.
type Report struct {
	Kind    ReportKind
	Share   string
	Segment segment.ID
	Nonce   segment.Nonce
	Bytes   int
	Batches int
	Took    time.Duration // SegmentAnswered: since the commit was first sent
	Text    string
}
