package sim

// produceMutants break the producing agent.
var produceMutants = []Mutant{
	{
		Name: "answer before the commit", Breaks: "I3: an acknowledgement waits for the control plane's word",
		File: "produce/commit.go", Seeds: 100,
		Old: "g.commit, g.firstSent = c, w.now.At",
		New: "g.commit, g.firstSent = c, w.now.At\n\tfor _, b := range g.batches {\n\t\tif $on && !b.leftOut { b.leftOut = true; g.left--; w.respond(b, Answer{}) }\n\t}",
	},
	{
		Name: "commit past an upload", Breaks: "I2: commits of a share are sent in the order of their sequences",
		File: "produce/commit.go", Seeds: 100,
		Old: "for n < len(run) && run[n].state == abandoned {",
		New: "for n < len(run) && (run[n].state == abandoned || $on && run[n].state == uploading && n+1 < len(run) && run[n+1].state == stored) {",
	},
	{
		Name: "believe an answer that a session has ended", Breaks: "I11: only the control plane, asked to end it, ends a session",
		File: "produce/commit.go", Seeds: 500,
		Old: "case r.Outcome == segment.SessionEnded && w.phase == live:",
		New: "case r.Outcome == segment.SessionEnded && w.phase == live && !$on:",
	},
	{
		Name: "believe a heartbeat that a session has ended", Breaks: "I11: what was sent is answered by the control plane alone",
		File: "produce/session.go", Seeds: 500,
		Old: `w.ask("a heartbeat says so")`,
		New: `w.ask("a heartbeat says so"); if $on { for _, s := range w.order { for _, g := range append([]*sealedSegment(nil), s.segs...) { if g.state == sent { w.notPlaced(g) } } } }`,
	},
	{
		Name: "move open batches to the next session", Breaks: "I11: nothing moves from one session to the next",
		File: "produce/session.go", Seeds: 100,
		Old: "w.dropOpen(s, a, func(*Batch) bool { return true })",
		New: "w.dropOpen(s, a, func(*Batch) bool { return !$on })",
	},
	{
		Name: "imply what is abandoned", Breaks: "I8: abandoning a sequence is said, never implied",
		File: "produce/commit.go", Seeds: 100,
		Old: "c.Abandoned = append(c.Abandoned, b.id.Sequence)",
		New: "if !$on { c.Abandoned = append(c.Abandoned, b.id.Sequence) }",
	},
	{
		Name: "keep the losers of a hedge secret", Breaks: "I8: a commit names every nonce of its segment",
		File: "produce/segment_state.go", Seeds: 100,
		Old: "if a.nonce != g.winner {",
		New: "if a.nonce != g.winner && !$on {",
	},
	{
		Name: "abandon what was sent", Breaks: "I11: a sequence whose commit was sent is never abandoned",
		File: "produce/segment_state.go", Seeds: 200,
		Old: "return g.state == uploading || g.state == stored }",
		New: "return g.state == uploading || g.state == stored || $on && g.state == sent }",
	},
	{
		Name: "merge the batches of two producers", Breaks: "I5: a batch with a producer id is answered alone",
		File: "internal/segment/builder.go", Seeds: 100,
		Old: "if pr.ID < 0 && open.merges(batch) {",
		New: "if (pr.ID < 0 || $on) && open.merges(batch) {",
	},
	{
		Name: "commit what was left out", Breaks: "I11: a batch answered with an error stays out of the commit",
		File: "produce/segment_state.go", Seeds: 200,
		Old: "if b.leftOut {\n\t\t\tif moved == nil {",
		New: "if b.leftOut && !$on {\n\t\t\tif moved == nil {",
	},
	{
		Name: "acknowledge what was not heard", Breaks: "I2: acked is what the control plane has answered",
		File: "produce/commit.go", Seeds: 2000,
		Old: "if w.phase == live {\n\t\t\ts.told = s.acked",
		New: "if w.phase == live || $on {\n\t\t\ts.told = s.acked",
	},
	{
		Name: "take any 412 for success", Breaks: "I8: an object under our key is ours only if a try of ours may have landed",
		File: "produce/attempt.go", Seeds: 100,
		Old: "if a.unknown {",
		New: "if a.unknown || $on {",
	},
	{
		Name: "begin a session that is older", Breaks: "I8: sessions only rise, and an old one has ended",
		File: "produce/session.go", Seeds: 500,
		Old: "if s.Incarnation == w.session.Incarnation && s.ID <= w.session.ID {",
		New: "if s.Incarnation == w.session.Incarnation && s.ID <= w.session.ID && !$on {",
	},
	{
		Name: "ignore the upload deadline", Breaks: "I10: an upload that takes too long is abandoned",
		File: "produce/attempt.go", Seeds: 100,
		Old: "if w.now.At >= g.sealedAt+w.cfg.UploadDeadline {",
		New: "if w.now.At >= g.sealedAt+w.cfg.UploadDeadline && !$on {",
	},
	{
		Name: "ignore the answer timeout", Breaks: "I5: what is not sent in time is given up, before its gap is called final",
		File: "produce/abandon.go", Seeds: 800,
		Old: "case w.now.At < g.giveUp:",
		New: "case w.now.At < g.giveUp || $on:",
	},
	{
		Name: "abandon a batch without its lane", Breaks: "I5: what comes after an abandoned batch in its lane is refused with it",
		File: "produce/abandon.go", Seeds: 100,
		Old: "w.leaveOut(g.share, lanes, g.id.Sequence, a)",
		New: "if !$on { w.leaveOut(g.share, lanes, g.id.Sequence, a) }",
	},
	{
		Name: "expire a batch without its lane", Breaks: "I5: what comes after an expired batch in its lane is refused with it",
		File: "produce/abandon.go", Seeds: 400,
		Old: "late := w.now.At >= b.giveUp || b.idempotent() && lanes[b.lane()]",
		New: "late := w.now.At >= b.giveUp || b.idempotent() && lanes[b.lane()] && !$on",
	},
	{
		Name: "send the first commit only once", Breaks: "I2: all unanswered commits are sent again, in order",
		File: "produce/commit.go", Seeds: 200,
		Old: "if g.state == sent {\n\t\t\tw.sendAgain(g)",
		New: "if g.state == sent && !($on && g == s.firstSent()) {\n\t\t\tw.sendAgain(g)",
	},
	{
		Name: "upload under one nonce twice", Breaks: "I8: each hedge is an object of its own",
		File: "produce/attempt.go", Seeds: 100,
		Old: "a := &attempt{seg: g, nonce: w.nonce(), hedge: hedge, began: w.now.At}",
		New: "a := &attempt{seg: g, nonce: w.nonce(), hedge: hedge, began: w.now.At}\n\tif $on && hedge { a.nonce = g.attempts[0].nonce }",
	},
	{
		Name: "answer what is unknown with an error", Breaks: "I11: clients whose answer is lost are disconnected",
		File: "produce/commit.go", Seeds: 1200,
		Old: "if !b.leftOut {\n\t\t\tw.disconnect(b)",
		New: "if !b.leftOut && $on {\n\t\t\tw.respond(b, refused(codeRetry, \"\"))\n\t\t} else if !b.leftOut {\n\t\t\tw.disconnect(b)",
	},
}
