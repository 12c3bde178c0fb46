// Package open makes a store from a bucket URL.
//
//	s3://BUCKET[/PREFIX]   Amazon S3 or a server that speaks its protocol
//	file:///FOLDER         a folder; it is made at the first put when its parent exists
//	mem://[NAME][/PREFIX]  memory of this process, shared by name
//
// It promises that what it cannot make sense of is refused, all faults at once and the nearest
// known name beside each; that no key leads out of the prefix; and that Parse touches nothing:
// neither network nor disk.
//
// Options follow after a question mark. Those of s3: region, endpoint (http(s)://HOST:PORT of a server other
// than AWS), path-style (true by itself when the endpoint is an IP address or localhost), ca (a PEM file to trust), bucket-owner
// (the account that must own the bucket), timeout. Those of every kind: latency, faults and seed, which package faultstore
// explains. Credentials never stand in a URL: they come from the SDK's chain.
package open
