// Package policy writes and reads documents of IAM.
//
// It promises, each with a test:
//
//	least         a role's permission is the fewest actions on the fewest objects: no wildcard stands in an action that is
//	              allowed, and every object lies under the cluster's own prefix. What the roles can do is the table
//	              docs/iam-truth-table.md, which is written by evaluating them
//	once          who may store may do so under a key that is not taken, and never over another object
//	same          the same input is the same bytes
//	fits          a document is no larger than AWS takes (Limit…), or it is refused here
//	understood    a document that was read holds nothing that is not: Parse refuses unknown fields, unknown operators
//	              of conditions and versions other than 2012-10-17
//
// Documents of roles: Permission, Trust, Session. Guard rails of what is shared, which deny: Bucket, Key, Endpoint. In the
// agents' own account: Source. To end access: DenyAll, RevokeBefore. What a document means is decided by package eval.
//
// Two fields leave out what servers other than AWS do not know, and the protection with it: TrustSpec.WithoutExternalID and
// Layout.WithoutConditionalWrites.
package policy
