// Package policy holds documents of IAM.
//
// It promises that a document that was read holds nothing that is not understood here: Parse refuses unknown fields,
// unknown operators of conditions and versions other than 2012-10-17. What is written is deterministic: the same document
// is the same bytes. What a document means is decided by package eval.
package policy
