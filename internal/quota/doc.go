// Package quota holds an agent to its part of what its group may do: bytes in and out and requests a second, and
// connections at a time.
//
// A group's quota is divided by the number of its agents, for none of them asks another before it serves. What is spent
// is counted when it is known, so that one request may overdraw; whoever overdraws waits until the debt is paid, as Kafka
// does it. So a rate holds in the mean of seconds, whatever the sizes of requests.
//
// Everything here is pure: time is an argument. Rates are a second, 0 is no bound.
package quota
