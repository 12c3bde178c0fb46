package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmusdata/isthmus/internal/units"
)

// role is one thing that an agent may do. What an agent with the role is made of, and what one
// without it answers instead, stands in agent_roles.go.
type role struct{ name, does string }

var roleTable = []role{
	{"produce", "takes records from clients and puts them into the bucket"},
	{"fetch", "gets them from there for consumers"},
}

// rolesHelp is the table as the help of --roles tells it.
func rolesHelp() string {
	var all []string
	for _, r := range roleTable {
		all = append(all, r.name+" ("+r.does+")")
	}
	return strings.Join(all, ", ")
}

// roles is a set of roles, as --roles takes it.
type roles []string

func rolesOf(names ...string) roles { return names }

func (r roles) has(name string) bool { return slices.Contains(r, name) }

// Set implements pflag.Value.
func (r *roles) Set(s string) error {
	var set roles
	for name := range strings.SplitSeq(s, ",") {
		name = strings.TrimSpace(name)
		if err := knownRole(name); err != nil {
			return err
		}
		if !set.has(name) {
			set = append(set, name)
		}
	}
	*r = set
	return nil
}

func knownRole(name string) error {
	var known []string
	for _, role := range roleTable {
		if role.name == name {
			return nil
		}
		known = append(known, role.name)
	}
	if name == "jobs" {
		return errors.New("the role jobs (compaction, deletion of objects) does not exist yet: use produce, fetch or both")
	}
	fault := fmt.Errorf("%q is no role: use %s or both", name, strings.Join(known, ", "))
	if near := units.Nearest(name, known); near != "" {
		fault = fmt.Errorf("%w (did you mean %q?)", fault, near)
	}
	return fault
}

// String implements pflag.Value.
func (r *roles) String() string { return strings.Join(*r, ",") }

// Type implements pflag.Value.
func (r *roles) Type() string { return "roles" }

// loopbackOnly refuses an address that others than this machine could reach.
func loopbackOnly(address, flag string) error {
	loopback, err := units.Loopback(address)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	if !loopback {
		return fmt.Errorf("%s %s is not a loopback address: use 127.0.0.1", flag, address)
	}
	return nil
}

// exposed explains why a plaintext listener beyond loopback is refused.
func exposed(address, flag, instead string, insecure bool) error {
	loopback, err := units.Loopback(address)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	if loopback || insecure {
		return nil
	}
	return fmt.Errorf("%s %s would be reachable from other machines in plain text: %s, or accept that with --insecure", flag, address, instead)
}
