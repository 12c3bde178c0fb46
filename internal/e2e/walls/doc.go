// Package walls proves that two accounts share nothing but a role on a bucket: it makes VPCs out of network
// namespaces and accounts out of tenants of Ceph, and keeps the thief's table.
//
// It promises that a row of the table is denied only if the layer that the row names has denied it, with that layer's
// own error; a connection that fails, a wrong name, a broken signature or a timeout are no denials.
// A test that tries something forbidden tries beside it, with the same credentials, something
// allowed: a control. Controls stand in the table and are not counted.
//
// # Words
//
//	VPC       network namespace behind a router that lets nothing pass to the other VPC (scripts/netns.sh)
//	actor     whose credentials and certificate an attempt uses: produce, fetch, a stranger, or a stranger's imitation
//	attempt   one forbidden thing, tried with everything the actor really has
//	layer     who must deny it: the bucket (S3), the control plane, both, or eval
//	eval      the embedded S3 and STS, which enforces the generated documents where Ceph 16 cannot express them:
//	          it knows no external id and does not look at s3:if-none-match
//	evidence  what the layer answered
//
// # Reading order
//
//	table.go      rows, their outcomes, how they are printed, the last line of a run
//	netns.go      sockets and processes inside a namespace, and the counters between VPCs
//	relay.go      an address that can be taken away, for outages of STS alone
//	ceph.go       accounts, users and roles of a Ceph object gateway
//	denied.go     what counts as a denial, by layer
//
// The tests are in package e2e (walls_*_test.go); make e2e-walls runs them.
package walls
