// Package authority is a control plane's power to say who somebody is: its own certificate authority, the
// session tokens it signs, and the nonces that proofs are bound to.
//
// It promises:
//
//   - Keys never leave the folder ca of the data directory, which nobody but its owner can read. They are made
//     at the first start and stay: certificates and tokens given before a restart hold after it.
//   - A certificate says what the control plane knows, whatever the request said: only the key is taken from it.
//   - A token is read only after its signature was verified, and never holds for another cluster.
//   - A nonce is good for one proof, for a minute, at the leader that gave it.
//
// # Words
//
//	authority   the cluster's own CA; several control nodes have the same one
//	pin         sha256: and the hash of a certificate, by which a client knows the authority beforehand
//	claims      what a token says of its bearer
//	epoch       see package certs
//
// # The folder
//
//	ca.crt      the authority's certificate (PEM, P-256, ten years)
//	ca.key      its key (PEM, PKCS #8)
//	token.key   the key of session tokens (PEM, PKCS #8, Ed25519)
package authority
