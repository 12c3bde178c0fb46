// Package throttle keeps requests to a store at the rate that the store lets through.
//
// A store that is asked too often refuses some requests (503 SlowDown). Who sends each refused one again after a pause of
// its own goes on asking more often than is allowed, and the more is refused, the more is sent. Rate makes one decision for
// all requests of a store instead: after a refusal they begin at a little less than what was let through in the
// last second, and then the more often the longer none is refused, as CUBIC does it for TCP:
//
//	rate
//	 10×                                     ╱ free again after ten seconds
//	  2×                              ╱
//	  1×  ───┐        ╭──────────────╯          what was let through in the second before the refusal
//	.85×     └──────╯
//	         0       2 s     4 s     6 s     8 s     10 s since the last refusal
//
// So nearly all of what is allowed is used, about one request in twenty is refused while a store is short, many agents
// that share a limit come to shares of it, and soon after the store allows more, more is asked of it.
//
// A Rate that was never refused anything holds nothing back and costs a comparison. It is pure: time is an
// argument. It is not safe for concurrent use.
package throttle
