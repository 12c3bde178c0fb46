package sim

// fetchMutants break the fetching agent.
var fetchMutants = []Mutant{
	{
		Name: "believe a no older than the request", Breaks: "I9: that something is not there is said only by a read that began after the request",
		File: "fetch/plan.go", Seeds: 200,
		Old: "if no.tick > since && (",
		New: "if (no.tick > since || $on) && (",
	},
	{
		Name: "serve a stale beyond the end", Breaks: "I9: what this agent has not heard of may be there",
		File: "fetch/plan.go", Seeds: 100,
		Old: "v.verdict = p.ask(now, t, offset)",
		New: "if $on && t.confirmed && offset > t.high { v.verdict, v.code = refused, codeOutOfRange; return v }\n\tv.verdict = p.ask(now, t, offset)",
	},
	{
		Name: "call the end out of range", Breaks: "I9: the offset of the next record is not beyond the end",
		File: "fetch/plan.go", Seeds: 100,
		Old: "case q.Offset < plan.LogStart || q.Offset > plan.HighWatermark:",
		New: "case q.Offset < plan.LogStart || q.Offset > plan.HighWatermark || $on && q.Offset == plan.HighWatermark:",
	},
	{
		Name: "use a location after its life", Breaks: "I7: a location is used for its life, for objects are deleted after it",
		File: "fetch/plan.go", Seeds: 200,
		Old: "if t.runs[i].until <= now {",
		New: "if t.runs[i].until <= now && !$on {",
	},
	{
		Name: "let a chunk outlive its segment", Breaks: "I9: of what is known to be gone nothing is given",
		File: "fetch/plan.go", Seeds: 500,
		Old: "p.forget(t)\n\tt.live, t.read",
		New: "if !$on { p.forget(t) }\n\tt.live, t.read",
	},
	{
		Name: "plan no gap after a reconnect", Breaks: "I9: who waits is woken for what a broken watch has not told",
		File: "fetch/plan.go", Seeds: 500,
		Old: "case !known || (bytes == 0 && t.high > high):",
		New: "case !known || (bytes == 0 && t.high > high && !$on):",
	},
	{
		Name: "take ends back", Breaks: "I9: ends only move up, in whichever order their news arrives",
		File: "fetch/watch.go", Seeds: 100,
		Old: "t.logStart, t.high = max(t.logStart, logStart), max(t.high, high)",
		New: "if $on { t.logStart, t.high = logStart, high }\n\tt.logStart, t.high = max(t.logStart, logStart), max(t.high, high)",
	},
	{
		Name: "tell the high watermark as it was", Breaks: "I9: no answer tells less than one before",
		File: "fetch/reply.go", Seeds: 200,
		Old: "p.out.high = max(p.out.high, t.high)",
		New: "if !$on { p.out.high = max(p.out.high, t.high) }",
	},
	{
		Name: "tell ends before a confirmed read", Breaks: "I9: before the first confirmed read there is nothing to tell",
		File: "fetch/read.go", Seeds: 300,
		Old: "if !v.known && code == 0 {",
		New: "if !v.known && code == 0 && !$on {",
	},
	{
		Name: "restamp with the end", Breaks: "I9: a batch carries the offset of its first record",
		File: "fetch/respond.go", Seeds: 100,
		Old: "stampInto(g, s, &inScratch, b, first, epoch)",
		New: "if $on { first = base }\n\t\t\t\tstampInto(g, s, &inScratch, b, first, epoch)",
	},
	{
		Name: "restamp no leader epoch", Breaks: "I9: a batch carries the incarnation",
		File: "fetch/respond.go", Seeds: 100,
		Old: "record.Stamp((*[record.HeaderSize]byte)(dst), b, base, epoch)",
		New: "if $on { epoch = 0 }\n\t\trecord.Stamp((*[record.HeaderSize]byte)(dst), b, base, epoch)",
	},
	{
		Name: "skip the batch that holds the offset", Breaks: "I9: a batch that holds the offset is given whole",
		File: "fetch/respond.go", Seeds: 100,
		Old: "if base > offset {",
		New: "if base > offset && !($on && base == offset+1) {",
	},
	{
		Name: "lend the bytes of an answer again", Breaks: "I9: bytes do not change until they are written",
		File: "fetch/reply.go", Seeds: 100,
		Old: "return wire.Reply{Gathered: resp.encode(),",
		New: "if $on { defer f.scratch.release() }\n\treturn wire.Reply{Gathered: resp.encode(),",
	},
	{
		Name: "serve a chunk for another object", Breaks: "I9: a cached chunk is of the object asked for",
		File: "fetch/cache.go", Seeds: 100,
		Old: "func (c *cache) find(o segment.Object, s span, reader class) *piece {",
		New: "func (c *cache) find(o segment.Object, s span, reader class) *piece {\n\tif $on { for other := range c.pieces { if other.Share == o.Share && other.ID.Sequence < o.ID.Sequence { o = other } } }",
	},
	{
		Name: "believe bytes unseen", Breaks: "I9: what a bucket or another agent gives is verified",
		File: "fetch/reader.go", Seeds: 100,
		Old: "err = segment.VerifyRange(data, &n.loc)",
		New: "if !$on { err = segment.VerifyRange(data, &n.loc) }",
	},
	{
		Name: "leave a changed partition out", Breaks: "I9: an incremental answer mentions what has changed",
		File: "fetch/session.go", Seeds: 100,
		Old: "m.told.high != high ||",
		New: "(m.told.high != high && !$on) ||",
	},
	{
		Name: "join a watch without its ends", Breaks: "I9: a watch begins with the ends as they are",
		File: "control/hub/hub.go", Seeds: 750,
		Old: "w.push(ends)",
		New: "if !$on || ends.Removed { w.push(ends) }",
	},
}
