// Package hub hands what the state has applied to the watches that asked for it.
//
// It promises:
//
//   - A watch joins between two commands: the ends it is told first are those after the one, and the
//     first placement it is sent is that of the other.
//   - It loses no placement: what does not fit into its queue becomes one event a partition that says
//     where the partition ends, and whoever reads it plans the hole.
//   - It holds at most its limit of events and locations, and one event a partition (I10).
//
// It waits for nothing and knows no clock; package server puts a stream behind each watch, and the
// simulation one of its own.
package hub
