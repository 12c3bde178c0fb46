// Package tally counts for the audit what a leader sees between two entries of it: bytes that were moved, by
// identity, topic and direction, and calls that were denied, by who was denied what. The sums become events of one AuditCommand.
//
// It promises to hold so many sums at most, whoever asks for whatever: movements beyond them are counted without their
// topic, and of denials beyond them only the number is kept. It reads no clock and knows no state; names of
// topics are looked up when the sums are taken.
//
// A leader that fails takes at most the sums of its last interval along. What agents have served is told with heartbeats, and a heartbeat
// whose answer was lost is sent again: sums of bytes fetched may then hold the same bytes twice, never too few.
package tally
