// Package objstore is the little that isthmus asks of object storage: put a new
// object and never overwrite one, read a range, and, for the jobs and control
// roles alone, look at, list and delete objects.
//
// Three promises carry everything above it. A key is written once: of any number of puts
// at the same time one wins and the others are told ErrExists. A put that was answered
// with success is durable and every reader sees it. And an error says whether the request
// may have been carried out (ErrUnknownOutcome) or certainly was not.
//
// A key is a path of names (CheckKey), a position and a length count bytes, times are the store's own.
//
// An implementation stands in a package of its own (s3store, filestore, memstore), the
// wrappers latency and faults in faultstore, counting in metered; open makes one from a bucket URL;
// storetest is the suite that all of them pass.
package objstore
