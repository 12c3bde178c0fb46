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
		File: "control/producers.go", Seeds: 80,
		Old: "passed(s.time, max(p.gapSince, s.electedAt), s.limits.GapPatience)",
		New: "passed(s.time, p.gapSince, s.limits.GapPatience) && ($on || passed(s.time, s.electedAt, s.limits.GapPatience))",
	},
	{
		Name: "forget the windows on a leader change", Breaks: "I5: the last five batches of a producer outlive their leader",
		File: "control/apply.go", Seeds: 60,
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
		File: "control/commit.go", Seeds: 150,
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
		File: "control/commit.go", Seeds: 80,
		Old: "if c.GetAcked() > x.lanes[at].acked {",
		New: "if c.GetAcked() > x.lanes[at].acked && !$on {",
	},
	{
		Name: "let go of answers that are awaited", Breaks: "I2: an answer is kept until it is acknowledged",
		File: "control/sessions.go", Seeds: 100,
		Old: "l.answers[0].sequence <= l.acked {",
		New: "(l.answers[0].sequence <= l.acked || $on) {",
	},
	{
		Name: "drop a hole", Breaks: "I3: bytes of a refused batch are no part of an entry",
		File: "control/place.go", Seeds: 60,
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
	{
		Name: "keep the window across epochs", Breaks: "I5: a repeat is told from the batches of its own epoch",
		File: "control/producers.go", Seeds: 100,
		Old: "if !p.known || b.Epoch > p.epoch {",
		New: "if (!p.known || b.Epoch > p.epoch) && !$on {",
	},
	{
		Name: "commit out of order", Breaks: "I2: a commit follows the one it names, or has no effect",
		File: "control/commit.go", Seeds: 40,
		Old: "case !follows(c, l.last), ",
		New: "case !follows(c, l.last) && !$on, ",
	},
	{
		Name: "call a forgotten session ended", Breaks: "I11: of a session that is forgotten nobody knows that it placed nothing",
		File: "control/commit.go", Seeds: 80,
		Old: "\treturn segment.Gone\n",
		New: "\tif $on { return segment.SessionEnded }; return segment.Gone\n",
	},
	{
		Name: "ignore after", Breaks: "I8: a commit names the sequence that it comes after",
		File: "control/commit.go", Seeds: 20,
		Old: "if c.GetAfter() != last || c.GetSequence() <= last {",
		New: "if c.GetAfter() != last && !$on || c.GetSequence() <= last {",
	},
	{
		Name: "imply abandonment", Breaks: "I8: a commit names every sequence that it leaves out",
		File: "control/commit.go", Seeds: 20,
		Old: "if uint64(len(c.GetAbandoned())) != c.GetSequence()-last-1 {",
		New: "if uint64(len(c.GetAbandoned())) != c.GetSequence()-last-1 && !$on {",
	},
	{
		Name: "let a fetching agent commit", Breaks: "I6: who lacks the role places nothing",
		File: "control/walls.go", Seeds: 20,
		Old: "if !slices.Contains(who.Roles, RoleProduce) {",
		New: "if !slices.Contains(who.Roles, RoleProduce) && !$on {",
	},
	{
		Name: "evict a live producer", Breaks: "I5: no producer gives way that was heard of lately",
		File: "control/producers.go", Seeds: 80,
		Old: "!passed(s.clock(), s.producers.At(first).at, s.limits.ProducerIdle)",
		New: "!$on && !passed(s.clock(), s.producers.At(first).at, s.limits.ProducerIdle)",
	},
	{
		Name: "forget a live producer", Breaks: "I5: a producer is remembered until its expiry",
		File: "control/producers.go", Seeds: 20,
		Old: "return s.producerIDs.At(first).at + s.limits.ProducerExpiration.Milliseconds()",
		New: "if $on { return s.producerIDs.At(first).at + 1000 }; return s.producerIDs.At(first).at + s.limits.ProducerExpiration.Milliseconds()",
	},
	{
		Name: "remember four batches", Breaks: "I5: the last five batches of a producer are repeated",
		File: "control/producers.go", Seeds: 40,
		Old: "if p.n == windowLen {",
		New: "if p.n == windowLen || $on && p.n == windowLen-1 {",
	},
	{
		Name: "expire while the clock is not trusted", Breaks: "I4: a freeze holds back all that expires",
		File: "control/agenda.go", Seeds: 80,
		Old: "if s.frozen {\n\t\treturn\n\t}",
		New: "if s.frozen && !$on {\n\t\treturn\n\t}",
	},
	{
		Name: "follow a clock that jumps", Breaks: "I4: a clock far ahead needs a second one",
		File: "control/statetime/clock.go", Seeds: 80,
		Old: "apart.Abs() > jump {",
		New: "apart.Abs() > jump && !$on {",
	},
	{
		Name: "go on from the wall clock after an election", Breaks: "I4: state time never goes back",
		File: "control/statetime/clock.go", Seeds: 80,
		Old: "return max(last, wall), false, nil",
		New: "if $on { return wall, false, nil }; return max(last, wall), false, nil",
	},
}
