// Package creds gives an agent the credentials of the role by which it reaches one share.
//
// Three modes: assume takes what the agent's platform has given it (ECS, EKS, EC2, the environment: the SDK's
// chain) and has STS begin a session of the share's role; web-identity has STS begin it by a token in a file, without any
// credentials before; ambient uses what the platform has given as it is.
//
// Promises, each with its tests:
//
//   - Whoever asks for credentials waits for STS only where there are none that are valid. They are renewed in the
//     background from half of their life, each agent at another moment.
//   - Credentials are given out as long as they are truly valid, by the clock of AWS, whatever STS says or does not
//     say meanwhile. Not a moment longer.
//   - What a bucket refuses is answered by one renewal: at once where it calls the credentials expired or unknown, and at
//     most once a minute where it only denies access.
//   - STS is asked by one goroutine at a time, for a bounded time, and after a failure not again before 1 s to 30 s.
//   - A session longer than 1 h out of another session is refused before STS is asked.
//   - A name of a session is GROUP-AGENT, so that the trail shows who it was and trust can be held to it.
//
// An error is an *Error: it has a class (ErrTrustDenied, ErrStorageDenied, ErrChainedDuration, ErrClockSkew, ErrRegion,
// ErrSource, ErrRequest, ErrExpired, ErrUnavailable) and what to try.
//
// Metrics, each with share and role:
//
//	isthmus_iam_credentials_expiry_seconds   Unix time at which they expire; 0: they do not, or there are none
//	isthmus_iam_refresh_total{result}        renewals; result is ok or the class of the error
//	isthmus_iam_refresh_duration_seconds     how long they took
//	isthmus_iam_denied_total{op}             refusals of the bucket, by operation
//	isthmus_iam_clock_skew_seconds           how far the clock of AWS is ahead of this machine's
package creds
