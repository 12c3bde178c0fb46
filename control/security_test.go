package control

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

var update = flag.Bool("update", false, "write the table in docs/security.md anew")

const (
	securityPage = "../docs/security.md"
	tableBegins  = "<!-- walls: written by go test ./control -run TestI6WallsTable -update -->\n"
	tableEnds    = "<!-- walls end -->\n"
)

// The cluster of the table: shares a and b; group prod produces to a and may create topics there, group
// analytics fetches from a, group partner fetches from and produces to b. The group of the caller whose
// grants have expired had the same as prod and analytics together.
const (
	ownShare, foreignShare = "a", "b"
	ownTopic, foreignTopic = "orders", "payroll"
	ownID, foreignID       = "prod-x", "partner-x"
)

func wallsOfTable(t testing.TB) *script {
	t.Helper()
	w := newScript(testLimits())
	must := func(c *controlpb.WallChange) {
		t.Helper()
		r := w.change(c)
		if r.Code != 0 {
			t.Fatalf("%v: %d, %s", c, r.Code, r.Reason)
		}
	}
	for _, share := range []string{ownShare, foreignShare} {
		must(&controlpb.WallChange{Change: &controlpb.WallChange_PutShare{PutShare: &controlpb.Share{Name: share, Bucket: "mem://" + share}}})
	}
	for _, g := range []*controlpb.Grant{
		{Name: "prod", Group: "prod", Share: ownShare, Access: RoleProduce, Create: true},
		{Name: "analytics", Group: "analytics", Share: ownShare, Access: RoleFetch},
		{Name: "sweepers", Group: "sweepers", Share: ownShare, Access: RoleFetch},
		{Name: "partner-in", Group: "partner", Share: foreignShare, Access: RoleProduce, Create: true},
		{Name: "partner-out", Group: "partner", Share: foreignShare, Access: RoleFetch},
		{Name: "late-in", Group: "late", Share: ownShare, Access: RoleProduce, Create: true, Until: w.now + 1000},
		{Name: "late-out", Group: "late", Share: ownShare, Access: RoleFetch, Until: w.now + 1000},
	} {
		must(&controlpb.WallChange{Change: &controlpb.WallChange_PutGrant{PutGrant: g}})
	}
	for i, b := range []*controlpb.Binding{
		{Name: "root", Admin: true},
		{Name: "prod", Group: "prod", Roles: []string{RoleProduce}, IdPrefixes: []string{"prod-"}},
		{Name: "analytics", Group: "analytics", Roles: []string{RoleFetch}, IdPrefixes: []string{"analytics-"}},
		{Name: "sweepers", Group: "sweepers", Roles: []string{RoleJobs}},
		{Name: "late", Group: "late", Roles: []string{RoleProduce, RoleFetch}, IdPrefixes: []string{"late-"}},
		{Name: "partner", Group: "partner", Roles: []string{RoleProduce, RoleFetch}, IdPrefixes: []string{"partner-"}},
	} {
		b.Match = &controlpb.Match{Method: MethodMTLS, Uri: fmt.Sprintf("spiffe://test/%d", i)}
		must(&controlpb.WallChange{Change: &controlpb.WallChange_PutBinding{PutBinding: b}})
	}
	w.now += 2000
	w.apply(&controlpb.Command{Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}})
	return w
}

// tableCaller is a column of the table.
type tableCaller struct {
	name string
	who  Caller
	own  string // prefix of its ids
}

func tableCallers() []tableCaller {
	return []tableCaller{
		{"produce", Caller{Agent: "1", Binding: "prod", Group: "prod", Roles: []string{RoleProduce}}, "prod-"},
		{"fetch", Caller{Agent: "2", Binding: "analytics", Group: "analytics", Roles: []string{RoleFetch}}, "analytics-"},
		{"jobs", Caller{Agent: "3", Binding: "sweepers", Group: "sweepers", Roles: []string{RoleJobs}}, "sweepers-"},
		{"expired", Caller{Agent: "4", Binding: "late", Group: "late", Roles: []string{RoleProduce, RoleFetch}}, "late-"},
		{"admin", Caller{Binding: "root", Admin: true}, "admin-"},
		{"no binding", Caller{Agent: "5", Binding: "removed", Group: "prod", Roles: []string{RoleProduce, RoleFetch}}, "prod-"},
		{"open", Caller{Agent: "6", Group: "prod", Roles: []string{RoleProduce, RoleFetch}, Admin: true, Open: true}, "prod-"},
	}
}

// tableCall is a row, or one for what is the caller's and one for what is others'.
type tableCall struct {
	name  string
	call  Call
	about string // topic, share, group, transactional; empty: the cluster
}

func tableCalls() []tableCall {
	rpc := func(name string, kind CallKind, about string) tableCall {
		return tableCall{name, Call{Kind: kind}, about}
	}
	key := func(name string, key int16, about string) tableCall {
		return tableCall{name, Call{Kind: CallTunnel, Key: key}, about}
	}
	return []tableCall{
		rpc("Commit", CallCommit, "topic"),
		rpc("Plan", CallPlan, "topic"), rpc("Watch", CallWatch, "topic"), rpc("ListOffsets", CallListOffsets, "topic"),
		rpc("Topics", CallTopics, "topic"), rpc("Topics, creating", CallCreateTopic, "topic"),
		rpc("Login", CallLogin, ""), rpc("Heartbeat, EndSession", CallMembership, ""), rpc("Status", CallStatus, ""),
		rpc("Walls", CallWalls, ""), rpc("Change", CallChange, ""), rpc("Audit", CallAudit, ""), rpc("Meter", CallMeter, ""), rpc("ConfirmClock", CallConfirmClock, ""),
		key("OffsetCommit", keyOffsetCommit, "group"), key("OffsetCommit", keyOffsetCommit, "topic"),
		key("OffsetFetch", keyOffsetFetch, "group"), key("OffsetFetch", keyOffsetFetch, "topic"),
		key("OffsetDelete", keyOffsetDelete, "group"), key("OffsetDelete", keyOffsetDelete, "topic"),
		key("JoinGroup", keyJoinGroup, "group"), key("SyncGroup", keySyncGroup, "group"), key("Heartbeat", keyHeartbeat, "group"),
		key("LeaveGroup", keyLeaveGroup, "group"), key("DescribeGroups", keyDescribeGroups, "group"),
		key("ListGroups", keyListGroups, "group"), key("DeleteGroups", keyDeleteGroups, "group"),
		key("InitProducerId", keyInitProducerID, ""), key("InitProducerId", keyInitProducerID, "transactional"),
		key("AddPartitionsToTxn", keyAddPartitionsToTxn, "transactional"), key("AddPartitionsToTxn", keyAddPartitionsToTxn, "topic"),
		key("AddOffsetsToTxn", keyAddOffsetsToTxn, "transactional"), key("AddOffsetsToTxn", keyAddOffsetsToTxn, "group"),
		key("TxnOffsetCommit", keyTxnOffsetCommit, "group"), key("EndTxn", keyEndTxn, "transactional"),
		key("DescribeTransactions", keyDescribeTransactions, "transactional"), key("ListTransactions", keyListTransactions, "transactional"),
		key("DescribeProducers", keyDescribeProducers, "topic"), key("OffsetForLeaderEpoch", keyOffsetForLeaderEpoch, "topic"),
		key("DescribeConfigs", keyDescribeConfigs, "topic"), key("DescribeConfigs", keyDescribeConfigs, ""),
		key("CreateTopics", keyCreateTopics, "topic"), key("DeleteTopics", keyDeleteTopics, "topic"),
		key("CreatePartitions", keyCreatePartitions, "topic"), key("AlterConfigs", keyAlterConfigs, "topic"),
		key("AlterConfigs", keyAlterConfigs, ""), key("IncrementalAlterConfigs", keyIncrementalAlterConfigs, "topic"),
		key("users, ACLs, quotas and all others", 29, ""),
	}
}

// of makes a call one about what is the caller's, or another's.
func (c tableCall) of(caller tableCaller, own bool) Call {
	call := c.call
	id := caller.own + "x"
	topic, share := ownTopic, ownShare
	if !own {
		id, topic, share = foreignID, foreignTopic, foreignShare
	}
	switch c.about {
	case "topic":
		call.Topic, call.Share = topic, share
	case "group":
		call.Group = id
	case "transactional":
		call.Transactional = id
	}
	return call
}

// whose names what a row is about.
func (c tableCall) whose(own bool) string {
	switch {
	case c.about == "":
		return "the cluster"
	case c.about == "topic" && own:
		return "a topic of the share of its grant"
	case c.about == "topic":
		return "a topic of another share"
	case c.about == "group" && own:
		return "a consumer group under its prefix"
	case c.about == "group":
		return "another's consumer group"
	case own:
		return "a transactional id under its prefix"
	}
	return "another's transactional id"
}

func cell(d Decision) string {
	switch {
	case d.Allowed:
		return "yes"
	case d.Login:
		return "log in"
	}
	return fmt.Sprint(d.Code)
}

// TestI6WallsTable asks Allow about every call of every kind of caller, on what is its own and on what is
// not, writes the answers down as the table of docs/security.md, and fails when the page has another. What
// no table may say is checked beside it: nobody but an admin gets at what is another's, and whoever has no
// binding, or no grant any more, gets at nothing.
func TestI6WallsTable(t *testing.T) {
	w := wallsOfTable(t)
	callers := tableCallers()
	var b strings.Builder
	b.WriteString("| call | about |")
	for _, c := range callers {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n| --- | --- |" + strings.Repeat(" --- |", len(callers)) + "\n")
	for _, row := range tableCalls() {
		for _, own := range []bool{true, false} {
			if !own && row.about == "" {
				continue
			}
			fmt.Fprintf(&b, "| %s | %s |", row.name, row.whose(own))
			for _, c := range callers {
				d := w.s.Allow(c.who, row.of(c, own))
				checkRow(t, row, c, own, d)
				fmt.Fprintf(&b, " %s |", cell(d))
			}
			b.WriteString("\n")
		}
	}
	comparePage(t, b.String())
}

// checkRow holds one answer to what must be so whatever the table says.
func checkRow(t *testing.T, row tableCall, c tableCaller, own bool, d Decision) {
	t.Helper()
	about := fmt.Sprintf("%s of %s by %s", row.name, row.whose(own), c.name)
	switch {
	case d.Allowed != (d.Code == 0) || d.Allowed != (d.Reason == ""):
		t.Errorf("%s: %+v", about, d)
	case d.Allowed && (c.name == "no binding" || c.name == "open"):
		t.Errorf("%s is allowed while there are bindings", about)
	case d.Allowed && !own && c.name != "admin":
		t.Errorf("%s is allowed", about)
	case d.Allowed && c.name == "expired" && row.about == "topic":
		t.Errorf("%s is allowed", about)
	}
}

// comparePage holds the page to the table, or writes it.
func comparePage(t *testing.T, table string) {
	t.Helper()
	page, err := os.ReadFile(securityPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := bytes.Cut(page, []byte(tableBegins))
	_, after, ends := bytes.Cut(rest, []byte(tableEnds))
	if !found || !ends {
		t.Fatalf("%s has no table: it stands between\n%s%s", securityPage, tableBegins, tableEnds)
	}
	want := bytes.Join([][]byte{before, []byte(tableBegins + table + tableEnds), after}, nil)
	if bytes.Equal(page, want) {
		return
	}
	if !*update {
		t.Fatalf("the table in %s is not what Allow says: go test ./control -run TestI6WallsTable -update\n%s", securityPage, table)
	}
	if err := os.WriteFile(securityPage, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestI6OpenCluster: without bindings, whoever calls from loopback is admin of the share default, and of no other.
func TestI6OpenCluster(t *testing.T) {
	w := newScript(testLimits())
	for _, share := range []string{"default", "other"} {
		w.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutShare{PutShare: &controlpb.Share{Name: share, Bucket: "mem://x"}}})
	}
	agent := Caller{Agent: "a", Group: "g", Roles: []string{RoleProduce}, Open: true, Admin: true}
	tool := Caller{Open: true, Admin: true}
	for _, x := range []struct {
		who  Caller
		call Call
		want bool
	}{
		{agent, Call{Kind: CallCommit, Share: "default", Topic: "t"}, true},
		{agent, Call{Kind: CallCommit, Share: "other", Topic: "t"}, false},
		{agent, Call{Kind: CallPlan, Share: "default", Topic: "t"}, false},
		{agent, Call{Kind: CallChange}, true},
		{agent, Call{Kind: CallTunnel, Key: keyCreateTopics, Share: "default", Topic: "t"}, true},
		{agent, Call{Kind: CallTunnel, Key: keyInitProducerID, Transactional: "any"}, true},
		{tool, Call{Kind: CallPlan, Share: "default", Topic: "t"}, true},
		{tool, Call{Kind: CallCommit, Share: "default", Topic: "t"}, false},
		{tool, Call{Kind: CallLogin}, false},
		{Caller{}, Call{Kind: CallStatus}, false},
	} {
		if d := w.s.Allow(x.who, x.call); d.Allowed != x.want {
			t.Errorf("%+v, %+v: %+v", x.who, x.call, d)
		}
	}
}
