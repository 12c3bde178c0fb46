package server

import (
	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// eachBinding visits the bindings by name until visit returns false.
func eachBinding(st *control.State, visit func(*controlpb.Binding) bool) {}

func bindingNamed(st *control.State, name string) (found *controlpb.Binding) {
	eachBinding(st, func(b *controlpb.Binding) bool {
		if b.GetName() == name {
			found = b
		}
		return found == nil
	})
	return found
}

func hasBindings(st *control.State) (any bool) {
	eachBinding(st, func(*controlpb.Binding) bool { any = true; return false })
	return any
}

// keysEpoch is that of the group's keys now.
func (s *service) keysEpoch(group string) uint64 { return 0 }

// leastEpoch is the least epoch of certificates that the group takes.
func (s *service) leastEpoch(group string) uint64 { return 0 }
