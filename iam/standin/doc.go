// Package standin is S3 and STS in one process: an http.Handler that stands where AWS would, for tests, for the demo, and
// for what other servers cannot enforce.
//
// It promises:
//
//	signed    a request is somebody's by its SigV4 signature alone, by header or presigned; every x-amz-
//	          header must be covered by it, a body must be what was signed, and a session's token and expiry hold
//	decided   each action is decided by package eval over the documents of its identity, its session and the
//	          bucket, at that moment: a policy that is changed holds for the next request of a session that lives
//	unknowing what may not be listed is not known to be missing: GET of a missing key is 403 without s3:ListBucket
//	once      If-None-Match: * stores a new object or answers 412; while another such put of the key is
//	          under way it answers 409
//	refusing  a parameter or a feature that it does not know is refused, never ignored
//	bounded   bytes, credentials, uploads, bodies and pages have bounds (Options)
//
// Times are Options.Now's, the Date of answers too. Objects are kept in memory. Errors are those of AWS, with its codes, statuses
// and XML, and messages close to its own.
//
// S3, in path style: PutObject, CopyObject, GetObject, HeadObject, ListObjectsV2, HeadBucket, DeleteObject(s), uploads in parts,
// ExpectedBucketOwner. Whatever else S3 has is decided, and answered 501 where it is allowed. STS: AssumeRole,
// AssumeRoleWithWebIdentity (tokens of World.Token), GetCallerIdentity, GetWebIdentityToken.
//
// It differs from AWS: there are no access control lists, versions, tags, paths of roles, managed policies, service control policies
// or permissions boundaries; buckets and identities are made by methods; a role of one's own account needs
// the permission to assume it in any case; a change holds at once, not within minutes; and KMS is decided, but
// encrypts nothing.
package standin
