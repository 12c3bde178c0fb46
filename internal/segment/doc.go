// Package segment is isthmus's object: record batches of many partitions of one
// share, from one flush of one agent, and the words in which agents and control
// plane speak of it.
package segment
