package sim

// toBeMet is what the world's malice is there for: what runs do not meet, they do not check. Every change of
// the code deals the seeds anew, so each is asked for only of many more seeds than it is met in.
var toBeMet = []struct {
	seeds int
	what  []string
}{
	{40, []string{
		"abandoned", "hedge won", "asked for the end", "gone", "drained", "swept", "restarted from a snapshot",
		"offset fetched", "commit refused", "fenced", "group answer lost",
		"expired", "bumped", "code 0", "code 19", "code 45", "code 59", "deposed", "foreign object", "frozen",
		"liar answered", "liar gone", "liar ended", "liar out of order", "liar unauthorized",
		"watched", "watch overrun", "watch reset", "partition removed", "peer answered", "damaged",
		"topic deleted", "retention set", "out of range", "unknown topic", "storage error",
		"tenant placed", "tenant denied", "tenant logged out", "foreign producer denied",
		"outcome 1", "outcome 2", "outcome 3", "outcome 4", // answered, gone, session ended, out of order
	}},
	{500, []string{"code 46", "clock not trusted", "index full", "object gone", "tail lost", "time found"}},
}

// Unmet lists what that many seeds should have met, and have not.
func Unmet(seen map[string]int, seeds int) (missing []string) {
	for _, group := range toBeMet {
		for _, what := range group.what {
			if seeds >= group.seeds && seen[what] == 0 {
				missing = append(missing, what)
			}
		}
	}
	return missing
}
