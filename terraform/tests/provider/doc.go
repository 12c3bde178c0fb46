// Command provider is NOT the AWS provider: it knows the names, types and required marks of some of the provider's
// arguments, and nothing else. Terraform checks modules against them with neither a registry nor an account.
//
// It promises to manage nothing: configured for a real plan it fails with an error that says what it is. What it does not
// know are the real provider's own checks of values, its defaults, and AWS.
//
// schema-facts.json is written by the command in extract, from the published schema that the file names.
package main
