package sim

// fetchMutants break the fetching agent.
var fetchMutants = []Mutant{}
