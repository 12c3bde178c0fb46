// Package check reads the modules and examples as text.
//
// It promises that what reviewers' scanners ask for is in the modules, that every variable and output is described, typed
// and validated, and that the tables in the modules' READMEs are theirs; CHECK_WRITE=1 go test writes those.
package check
