// Package certs names what the certificates of a cluster are for, and checks them where our own processes
// meet each other: agents of one group, and control nodes.
//
// A certificate has one name, a URI:
//
//	spiffe://CLUSTER/group/GROUP/agent/AGENT   an agent
//	spiffe://CLUSTER/control/NODE              a control node
//	spiffe://CLUSTER/admin/NAME                an operator
//
// CLUSTER is the cluster's name in lower case. Agents and operators have certificates of clients alone, so that
// none of them can be taken for a control plane; agents that meet check each other as clients, on either end.
//
// The epoch of a certificate is the part of its serial number above 80 random bits: that of the group's keys when
// it was issued. Peers refuse what is below the least epoch that the control plane names, which is how a
// certificate dies before it expires.
package certs
