package sim

// groupMutants break the coordinator of consumer groups.
var groupMutants = []Mutant{
	{
		Name: "accept commits of an old generation", Breaks: "only members of the generation that runs commit",
		File: "control/coordinator/member.go", Seeds: 100,
		Old: "case c.Generation != g.generation:",
		New: "case c.Generation != g.generation && !$on:",
	},
	{
		Name: "hear no heartbeat", Breaks: "a member that is heard of is not thrown out",
		File: "control/coordinator/member.go", Seeds: 100,
		Old: "m.heardUnlessNew(now, mem)\n\tif g.state == PreparingRebalance {",
		New: "if !$on { m.heardUnlessNew(now, mem) }\n\tif g.state == PreparingRebalance {",
	},
	{
		Name: "forget assignments at a failover", Breaks: "the next leader finds a group as its members know it",
		File: "control/coordinator/machine.go", Seeds: 100,
		Old: "assignment: s.GetAssignment(), knowsID: true,",
		New: "assignment: map[bool][]byte{false: s.GetAssignment()}[$on], knowsID: true,",
	},
	{
		Name: "have everyone join again after a failover", Breaks: "an election by itself causes no rebalance",
		File: "control/coordinator/machine.go", Seeds: 100,
		Old: "g.state, g.protocol = Stable, stored.GetProtocol()",
		New: "g.state, g.protocol = Stable, stored.GetProtocol(); if $on { defer m.prepareRebalance(now, g) }",
	},
	{
		Name: "count generations on after a failover", Breaks: "a generation is one membership",
		File: "control/coordinator/machine.go", Seeds: 100,
		Old: "return 1000 * (1 + int32(term%64))",
		New: "if $on { return 0 }; return 1000 * (1 + int32(term%64))",
	},
	{
		Name: "keep the generation when members come and go", Breaks: "a generation is one membership",
		File: "control/coordinator/rebalance.go", Seeds: 100,
		Old: "g.generation += 1 + g.leap",
		New: "if !$on || g.generation == 0 { g.generation += 1 + g.leap }",
	},
	{
		Name: "assign before it is stored", Breaks: "an assignment leaves only after it is stored",
		File: "control/coordinator/sync.go", Seeds: 100,
		Old: "g.storing = m.store(g, assignments)",
		New: "g.storing = m.store(g, assignments); if $on { m.assigned(now, g, codeNone) }",
	},
	{
		Name: "keep the id of a static member's former life", Breaks: "a former life is fenced",
		File: "control/coordinator/join.go", Seeds: 200,
		Old: "g.rename(mem, id)",
		New: "if !$on { g.rename(mem, id) }",
	},
	{
		Name: "let an instance in twice", Breaks: "no two members carry the same instance id",
		File: "control/coordinator/join.go", Seeds: 100,
		Old: "case j.Instance != \"\" && g.static[j.Instance] != nil:\n\t\tm.replace(",
		New: "case j.Instance != \"\" && g.static[j.Instance] != nil && !$on:\n\t\tm.replace(",
	},
	{
		Name: "answer a commit of offsets when it is queued", Breaks: "what was acknowledged is in the log",
		File: "control/desk/desk.go", Seeds: 100,
		Old: "d.Enqueue(splitCommit(offsets), done)",
		New: "if $on { done([]control.Result{{Codes: make([]int16, len(offsets))}}, nil); done = func([]control.Result, error) {} }; d.Enqueue(splitCommit(offsets), done)",
	},
	{
		Name: "lose the offsets of a group that rebalances", Breaks: "I9: what was acknowledged is not lost",
		File: "control/groups.go", Seeds: 100,
		Old: "g.generation, g.leader = c.GetGeneration(), c.GetLeader()",
		New: "g.generation, g.leader = c.GetGeneration(), c.GetLeader(); if $on { g.offsets.Clear() }",
	},
}
