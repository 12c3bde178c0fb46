// Package faultnet is a network that tests can cut: proxies of TCP that stand before an address. Who is
// to notice a cut is told the proxy's address, so that neither root nor a network namespace is needed.
package faultnet
