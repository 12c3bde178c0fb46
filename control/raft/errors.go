package raft

import "errors"

var (
	// ErrNotLeader: nothing was done; ask the leader, or again once there is one.
	ErrNotLeader = errors.New("not the leader")
	// ErrUnknownOutcome: leadership or the disk was lost on the way; the commands may be applied, or may be yet.
	ErrUnknownOutcome = errors.New("outcome unknown: leadership was lost on the way")
	// ErrOverloaded: nothing was done, too much is waiting for the log.
	ErrOverloaded = errors.New("too much is waiting for the log")
	// ErrTooLarge: the commands can never fit into one entry.
	ErrTooLarge = errors.New("larger than an entry of the log may be")
	// ErrInvalid: the commands cannot be logged as they are.
	ErrInvalid = errors.New("invalid command")
	// ErrStopped: the node has stopped or failed.
	ErrStopped = errors.New("control node has stopped")
	// ErrInUse: another process has the data directory.
	ErrInUse = errors.New("in use by another process")
	// ErrSuperseded: the bucket prefix belongs to another cluster or to a later life of this one, or another
	// copy of the data directory has led since (I12).
	ErrSuperseded = errors.New("this node may not lead the bucket prefix")
)
