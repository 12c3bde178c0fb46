// Package statetime tells the time that a leader stamps on commands: Unix milliseconds that never go
// back, start from a wall clock that was judged at the election, and then move at most as fast as
// the leader's monotonic clock. It reads no clock of its own, so that a simulation can make them
// jump.
package statetime
