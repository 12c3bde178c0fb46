// Package iam says by which roles agents and jobs reach a bucket. What a role may do is written in package policy.
package iam

import (
	"fmt"
	"slices"
)

// Role is what an IAM role of isthmus is for.
type Role string

// The roles.
const (
	Produce Role = "produce" // stores new objects of its own group in one share
	Fetch   Role = "fetch"   // reads objects of one share
	Jobs    Role = "jobs"    // reads, stores, lists and deletes objects of one share
	Control Role = "control" // the control plane's own objects
)

// Roles are all roles.
func Roles() []Role { return []Role{Produce, Fetch, Jobs, Control} }

// ParseRole reads the name of a role.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", fmt.Errorf("role %q: write produce, fetch, jobs or control", s)
}
