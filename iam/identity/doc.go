// Package identity proves to a control plane who an agent is, by what the agent's platform has given
// it already: an AWS role, or a certificate. No secret is handed out for it.
//
// On the agent's side a Source makes a proof, on the server's side an Authenticator verifies it and says
// what was Proven, and Match tells which identities a binding means. What an identity may do is decided
// elsewhere.
//
//	aws-sigv4  the agent signs a GetCallerIdentity call that it never sends. The server builds the same
//	           call itself, puts the signature on it and asks STS who signed
//	aws-oidc   STS gives the agent a token for this cluster alone, which the server verifies by the keys of
//	           issuers that it was told of
//	mtls       the agent shows a certificate with one SPIFFE URI; the proof is the TLS handshake
//
// Promises, each with its tests:
//
//   - A proof is worth something to one server, for one nonce and one claim, once. A proof by aws-oidc carries
//     nonce and claim where the caller may tag tokens, and is used once in any case.
//   - Nothing that the agent says becomes part of a request but five fields of fixed shape: it names no
//     host, header, action or body.
//   - An answer of STS or of an issuer is bounded, and taken only if it is exactly what it has to be.
//   - Names of sessions, which whoever assumes a role chooses, decide nothing.
//   - What waits, or is remembered, is bounded: calls of STS by rate, of each source and each access key, before
//     they are made.
//
// Who asks must have taken care that the challenge's nonce is one of its own and not used before.
//
// An error is an *Error: it has a class (ErrRefused, ErrUnavailable, ErrClock, ErrMalformed, ErrLimited) and, for
// people, what to try.
package identity
