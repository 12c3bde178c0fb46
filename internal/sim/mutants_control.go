package sim

// controlMutants break the sequencer.
var controlMutants = []Mutant{
	{
		Name: "accept a sequence gap", Breaks: "I5: a batch above the next sequence waits for the one before it",
		File: "control/producers.go", Seeds: 20,
		Old: "case from == 0:",
		New: "case from == 0, from > 0 && $on:",
	},
	{
		Name: "answer 45 at once for a gap", Breaks: "I5: 45 is said only of a gap that has stood for long",
		File: "control/producers.go", Seeds: 20,
		Old: "p.gap, p.gapEpoch, p.gapSince = true, epoch, s.time",
		New: "p.gap, p.gapEpoch, p.gapSince = true, epoch, s.time; if $on { return refusal(codeSequenceGap) }",
	},
	{
		Name: "let a gap age across an election", Breaks: "I5: the patience with a gap counts from the election",
		File: "control/producers.go", Seeds: 40,
		Old: "passed(s.time, max(p.gapSince, s.electedAt), s.limits.GapPatience)",
		New: "passed(s.time, p.gapSince, s.limits.GapPatience) && ($on || passed(s.time, s.electedAt, s.limits.GapPatience))",
	},
	{
		Name: "forget the windows on a leader change", Breaks: "I5: the last five batches of a producer outlive their leader",
		File: "control/apply.go", Seeds: 20,
		Old: "s.electedAt = s.time",
		New: "s.electedAt = s.time; if $on { for _, at := range s.producerAt { s.producers.Mut(at).n = 0 } }",
	},
	{
		Name: "commit in a session that has ended", Breaks: "I8, I11: an ended session commits nothing",
		File: "control/commit.go", Seeds: 40,
		Old: "case x.ended:",
		New: "case x.ended && !$on:",
	},
	{
		Name: "ask for the session before the answer", Breaks: "I2: what was decided is answered so even when its session has ended",
		File: "control/commit.go", Seeds: 20,
		Old: "case ackOnly && c.GetSequence() <= l.last:",
		New: "case $on && x.ended:\n\t\treply.Outcome = segment.SessionEnded\n\t\treturn reply, nil\n\tcase ackOnly && c.GetSequence() <= l.last:",
	},
	{
		Name: "forget what was answered", Breaks: "I2: a commit sent again is answered as the first time",
		File: "control/commit.go", Seeds: 20,
		Old: "case c.GetSequence() <= l.last:",
		New: "case c.GetSequence() <= l.last && !$on:",
	},
	{
		Name: "ignore acked", Breaks: "I10: answers that have arrived are let go of",
		File: "control/commit.go", Seeds: 40,
		Old: "if c.GetAcked() > x.lanes[at].acked {",
		New: "if c.GetAcked() > x.lanes[at].acked && !$on {",
	},
	{
		Name: "let go of answers that are awaited", Breaks: "I2: an answer is kept until it is acknowledged",
		File: "control/sessions.go", Seeds: 20,
		Old: "l.answers[0].sequence <= l.acked {",
		New: "(l.answers[0].sequence <= l.acked || $on) {",
	},
	{
		Name: "drop a hole", Breaks: "I3: bytes of a refused batch are no part of an entry",
		File: "control/place.go", Seeds: 20,
		Old: "e.position+e.length == r.Position &&",
		New: "(e.position+e.length == r.Position || $on) &&",
	},
	{
		Name: "forget the losers of a hedge", Breaks: "I8: every object that a commit names is swept",
		File: "control/place.go", Seeds: 20,
		Old: "for _, loser := range pl.commit.GetLosers() {",
		New: "for _, loser := range pl.commit.GetLosers() {\n\t\tif $on { continue }",
	},
	{
		Name: "leave a gap between two placements", Breaks: "I1: offsets are dense",
		File: "control/place.go", Seeds: 5,
		Old: "end := p.end + int64(pl.now.records)",
		New: "end := p.end; if !$on || pl.now.records == 0 { end += int64(pl.now.records) } else { end++ }",
	},
}
