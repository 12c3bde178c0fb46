package sim

// produceMutants break the producing agent.
var produceMutants = []Mutant{
	{
		Name: "answer before the commit", Breaks: "I3: an acknowledgement waits for the control plane's word",
		File: "produce/commit.go", Seeds: 5,
		Old: "g.commit, g.firstSent = c, w.now.At",
		New: "g.commit, g.firstSent = c, w.now.At\n\tfor _, b := range g.batches {\n\t\tif $on && !b.leftOut { b.leftOut = true; g.left--; w.respond(b, Answer{}) }\n\t}",
	},
	{
		Name: "commit past an upload", Breaks: "I2: commits of a share are sent in the order of their sequences",
		File: "produce/commit.go", Seeds: 20,
		Old: "for n < len(run) && run[n].state == abandoned {",
		New: "for n < len(run) && (run[n].state == abandoned || $on && run[n].state == uploading && n+1 < len(run) && run[n+1].state == stored) {",
	},
	{
		Name: "believe an answer that a session has ended", Breaks: "I11: only the control plane, asked to end it, ends a session",
		File: "produce/commit.go", Seeds: 100,
		Old: "case r.Outcome == segment.SessionEnded && w.phase == live:",
		New: "case r.Outcome == segment.SessionEnded && w.phase == live && !$on:",
	},
	{
		Name: "believe a heartbeat that a session has ended", Breaks: "I11: what was sent is answered by the control plane alone",
		File: "produce/session.go", Seeds: 40,
		Old: `w.ask("a heartbeat says so")`,
		New: `w.ask("a heartbeat says so"); if $on { for _, s := range w.order { for _, g := range append([]*sealedSegment(nil), s.segs...) { if g.state == sent { w.notPlaced(g) } } } }`,
	},
	{
		Name: "move open batches to the next session", Breaks: "I11: nothing moves from one session to the next",
		File: "produce/session.go", Seeds: 20,
		Old: "w.dropOpen(s, a, func(*Batch) bool { return true })",
		New: "w.dropOpen(s, a, func(*Batch) bool { return !$on })",
	},
	{
		Name: "imply what is abandoned", Breaks: "I8: abandoning a sequence is said, never implied",
		File: "produce/commit.go", Seeds: 20,
		Old: "c.Abandoned = append(c.Abandoned, b.id.Sequence)",
		New: "if !$on { c.Abandoned = append(c.Abandoned, b.id.Sequence) }",
	},
	{
		Name: "keep the losers of a hedge secret", Breaks: "I8: a commit names every nonce of its segment",
		File: "produce/segment_state.go", Seeds: 20,
		Old: "if a.nonce != g.winner {",
		New: "if a.nonce != g.winner && !$on {",
	},
	{
		Name: "abandon what was sent", Breaks: "I11: a sequence whose commit was sent is never abandoned",
		File: "produce/segment_state.go", Seeds: 40,
		Old: "return g.state == uploading || g.state == stored }",
		New: "return g.state == uploading || g.state == stored || $on && g.state == sent }",
	},
	{
		Name: "merge the batches of two producers", Breaks: "I5: a batch with a producer id is answered alone",
		File: "internal/segment/builder.go", Seeds: 20,
		Old: "if pr.ID < 0 && open.merges(batch) {",
		New: "if (pr.ID < 0 || $on) && open.merges(batch) {",
	},
}
