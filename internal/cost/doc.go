// Package cost says what a load costs a month: on isthmus, on Apache Kafka, on others whose prices are public, and what a
// cluster that was measured costs.
//
// It is arithmetic and nothing else: a Workload and Prices go in, Bills of Lines come out, or a fault. It reads no clock and no network.
// Prices are a dated file (prices.yaml, embedded) that a user prints, changes and gives back whole. Every Line names its
// formula, docs/cost.md explains each of them, and a test works the page's example out and holds it against this code.
//
// Words:
//
//	line      one position of a bill: a quantity, its price, and their product
//	wire      bytes as they cross the network and are stored, compressed by the client
//	zones     availability zones of one region; traffic between them is paid at both ends
//	fan-out   how often each byte is read by consumers, all of them together
//	month     730 hours
//
// Rates are MiB a second as applications count them, amounts are GiB, and a price list's "GB" is taken to be one. Money is in the currency
// of the prices, not rounded.
package cost
