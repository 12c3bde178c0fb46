package sim

// groupMutants break the coordinator of consumer groups.
var groupMutants = []Mutant{}
