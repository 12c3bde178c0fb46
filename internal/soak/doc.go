// Package soak runs a whole cluster as processes, under load, while a seed breaks things, and says
// afterwards what its users noticed.
//
// The cluster is a control plane, two groups of three agents and an S3 server. Every way between two of
// them leads through something of ours: a proxy of the bucket that speaks HTTP (bucketProxy), and proxies
// of TCP (link) between an agent and the control plane, and between clients and an agent, which advertises
// its proxy's address. So a partition needs no root and no network namespace; a full disk needs root, for
// it is a small tmpfs of its own. Clocks jump by a file of offsets, never the machine's clock.
//
// Faults come one after the other; the next waits until service is back and has been quiet for a while,
// so that what was noticed has one cause. Words of the report:
//
//	lost, duplicated, reordered  of the records acknowledged, in a last read of every partition by offset;
//	                             all three must be 0, and so must be what groups skip or have to read again
//	                             behind a commit that was acknowledged
//	without service, produce     the longest time in which some producer had records under way to some
//	                             partition and none was acknowledged ("one"), or no producer to any ("all")
//	without service, read        the same for a reader and records that were acknowledged and not read
//	back after                   from the fault's end to the end of the last time without service of a
//	                             second or more
//
// All of it is as clients saw it, with the clients' own timeouts in it. Times are seconds.
package soak
