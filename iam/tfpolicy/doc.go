// Package tfpolicy writes what the Terraform module policy is made of: every document of iam/policy, once for each set of
// options, with marks where values go.
//
// It promises that the module says what package policy says, byte for byte: there is no second description of a policy, and
// the test with the tag e2e compares the two over all options.
package tfpolicy

//go:generate go run ./generate ../../terraform/modules/policy/roles.json
