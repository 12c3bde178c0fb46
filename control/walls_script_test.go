package control

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// The walls in scripts:
//
//	put-share  NAME [bucket=mem://NAME] [region=] [kms=] [account=] [roles=(GROUP/ROLE/ARN,…)]
//	put-group  NAME [roles=()] [zones=()] [note=] [producer-ids=] [partitions=]
//	grant      NAME group= share= access=produce [topic=] [prefix] [create] [until=+1h]
//	binding    NAME [group=] [roles=()] [ids=()] [shares=()] [admin] [max=] [uri=spiffe://test/NAME | arn= unique= | issuer= subject=]
//	token      A [group=] [roles=()] [ids=()] [until=+24h]   its hash is 32 times the letter
//	join       A agent= [uri=]
//	remove     share|group|grant|binding NAME
//	revoke     GROUP [role=]
//	rotate     GROUP                begins; step GROUP [epoch=now] goes on; keys GROUP shows
//	allow      CALL [s=1 | binding= group= agent= roles=() | open] [admin] [topic=] [share=] [consumers=] [tx=] [key=]
//	audit      [group=] [share=] [topic=] [after=] [limit=] [since=] [until=]
//	count      KIND [group=] [topic=] [bytes=]   an AuditCommand
//	show       walls
//
// Every change draws the gossip key "new". Answers are what a person is told.
func (w *script) wallSteps() map[string]func(*args) string {
	return map[string]func(*args) string{
		"put-share": w.putShare, "put-group": w.putGroup, "grant": w.putGrant, "binding": w.putBinding, "token": w.putToken, "join": w.join,
		"remove": w.remove, "revoke": w.revoke, "rotate": w.rotate, "step": w.stepKeys, "keys": w.showKeys, "allow": w.allow,
		"audit": w.showAudit, "count": w.count,
	}
}

func told(r Result) string {
	if r.Code == 0 {
		return "ok\n"
	}
	return fmt.Sprintf("code %d: %s\n", r.Code, r.Reason)
}

func (a *args) is(word string) bool {
	for _, w := range a.words {
		if w == word {
			return true
		}
	}
	return false
}

// when reads a time from now on.
func (w *script) when(a *args, key, otherwise string) int64 {
	text := a.text(key, otherwise)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(strings.TrimPrefix(text, "+"))
	if err != nil {
		a.d.Fatalf(a.t, "%v", err)
	}
	return w.now + d.Milliseconds()
}

func (w *script) putShare(a *args) string {
	sh := &controlpb.Share{Name: a.words[0], Bucket: a.text("bucket", "mem://"+a.words[0]), Region: a.text("region", ""), KmsKey: a.text("kms", ""), Account: a.text("account", "")}
	for _, r := range a.list("roles") {
		part := strings.SplitN(r, "/", 3)
		sh.Roles = append(sh.Roles, &controlpb.ShareRole{Group: part[0], Role: part[1], RoleArn: part[2]})
	}
	return told(w.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutShare{PutShare: sh}}))
}

func (w *script) putGroup(a *args) string {
	g := &controlpb.AgentGroup{Name: a.words[0], Roles: a.list("roles"), Zones: a.list("zones"), Note: a.text("note", "")}
	if ids, parts := a.num("producer-ids", 0), a.num("partitions", 0); ids != 0 || parts != 0 {
		g.Quota = &controlpb.Quota{ProducerIds: ids, Partitions: parts}
	}
	return told(w.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutGroup{PutGroup: g}}))
}

func (w *script) putGrant(a *args) string {
	g := &controlpb.Grant{
		Name: a.words[0], Group: a.text("group", ""), Share: a.text("share", ""), Access: a.text("access", RoleProduce),
		Topic: a.text("topic", ""), Prefix: a.is("prefix"), Create: a.is("create"), Until: w.when(a, "until", ""),
	}
	return told(w.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutGrant{PutGrant: g}}))
}

func (w *script) putBinding(a *args) string {
	b := &controlpb.Binding{
		Name: a.words[0], Group: a.text("group", ""), Roles: a.list("roles"), Shares: a.list("shares"), IdPrefixes: a.list("ids"),
		Admin: a.is("admin"), MaxAgents: int32(a.num("max", 0)),
	}
	switch {
	case a.text("arn", "") != "":
		b.Match = &controlpb.Match{Method: MethodSigV4, Arn: a.text("arn", ""), UniqueId: a.text("unique", "")}
	case a.text("issuer", "") != "":
		b.Match = &controlpb.Match{Method: MethodOIDC, Issuer: a.text("issuer", ""), Subject: a.text("subject", "")}
	default:
		b.Match = &controlpb.Match{Method: MethodMTLS, Uri: a.text("uri", "spiffe://test/"+a.words[0])}
	}
	return told(w.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutBinding{PutBinding: b}}))
}

func hashOf(letter string) []byte { return bytes.Repeat([]byte(letter[:1]), hashBytes) }

func (w *script) putToken(a *args) string {
	t := &controlpb.JoinToken{Hash: hashOf(a.words[0]), Until: w.when(a, "until", "+24h"), Group: a.text("group", "guests"), Roles: a.list("roles"), IdPrefixes: a.list("ids")}
	return told(w.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutJoinToken{PutJoinToken: t}}))
}

func (w *script) join(a *args) string {
	c := &controlpb.ConsumeTokenCommand{Hash: hashOf(a.words[0]), Agent: a.text("agent", ""), Uri: a.text("uri", "spiffe://test/group/guests/agent/"+a.text("agent", ""))}
	r := w.apply(&controlpb.Command{Op: &controlpb.Command_ConsumeToken{ConsumeToken: c}})
	if r.Code != 0 {
		return told(r)
	}
	return describeBinding(r.Binding) + "\n"
}

func (w *script) remove(a *args) string {
	c, name := &controlpb.WallChange{}, a.words[1]
	switch a.words[0] {
	case "share":
		c.Change = &controlpb.WallChange_RemoveShare{RemoveShare: name}
	case "group":
		c.Change = &controlpb.WallChange_RemoveGroup{RemoveGroup: name}
	case "grant":
		c.Change = &controlpb.WallChange_RemoveGrant{RemoveGrant: name}
	case "binding":
		c.Change = &controlpb.WallChange_RemoveBinding{RemoveBinding: name}
	}
	return told(w.change(c))
}

func (w *script) revoke(a *args) string {
	c := &controlpb.WallChange{Change: &controlpb.WallChange_RevokeGroup{RevokeGroup: a.words[0]}}
	if role := a.text("role", ""); role != "" {
		c.Change = &controlpb.WallChange_RevokeRole{RevokeRole: &controlpb.RevokeRole{Group: a.words[0], Role: role}}
	}
	return told(w.change(c))
}

func (w *script) rotate(a *args) string {
	return told(w.change(&controlpb.WallChange{Change: &controlpb.WallChange_RotateGroup{RotateGroup: a.words[0]}}))
}

func (w *script) stepKeys(a *args) string {
	k, _ := w.s.GossipKeys(a.words[0])
	w.apply(&controlpb.Command{Op: &controlpb.Command_RotateKeys{RotateKeys: &controlpb.RotateKeysCommand{
		Group: a.words[0], Epoch: uint64(a.num("epoch", int64(k.GetEpoch()))),
	}}})
	return w.showKeys(a)
}

func (w *script) showKeys(a *args) string {
	k, ok := w.s.GossipKeys(a.words[0])
	if !ok {
		return "none\n"
	}
	out := fmt.Sprintf("epoch %d, keys", k.GetEpoch())
	for _, key := range k.GetKeys() {
		out += " " + string(key)
	}
	out += fmt.Sprintf(", certificates from %d on", k.GetLeastCertificate())
	w.s.EachRotation(func(group string, epoch uint64) bool {
		if group == a.words[0] {
			out += fmt.Sprintf(", waits for epoch %d", epoch)
		}
		return true
	})
	return out + "\n"
}

var callKinds = map[string]CallKind{
	"commit": CallCommit, "plan": CallPlan, "watch": CallWatch, "list-offsets": CallListOffsets, "topics": CallTopics, "create": CallCreateTopic,
	"login": CallLogin, "membership": CallMembership, "tunnel": CallTunnel, "status": CallStatus, "walls": CallWalls, "change": CallChange,
	"audit": CallAudit, "meter": CallMeter,
}

func (w *script) allow(a *args) string {
	who := Caller{Agent: a.text("agent", ""), Binding: a.text("binding", ""), Group: a.text("group", ""), Roles: a.list("roles"), Admin: a.is("admin"), Open: a.is("open")}
	if id := a.num("s", 0); id != 0 {
		x, _ := w.s.Session(uint64(id))
		who = x.Caller()
		who.Agent = a.text("agent", who.Agent)
	}
	call := Call{
		Kind: callKinds[a.words[0]], Topic: a.text("topic", ""), Share: a.text("share", ""), Key: int16(a.num("key", 0)),
		Group: a.text("consumers", ""), Transactional: a.text("tx", ""),
	}
	if t, ok := w.s.TopicByName(call.Topic); ok && call.Share == "" {
		call.Share = t.Share
	}
	d := w.s.Allow(who, call)
	switch {
	case d.Allowed && d.Grant != "":
		return "yes, by " + d.Grant + "\n"
	case d.Allowed:
		return "yes\n"
	case d.Login:
		return "log in: " + d.Reason + "\n"
	}
	return fmt.Sprintf("code %d: %s\n", d.Code, d.Reason)
}

func (w *script) showAudit(a *args) string {
	q := &controlpb.AuditRequest{
		Group: a.text("group", ""), Share: a.text("share", ""), Topic: a.text("topic", ""), After: uint64(a.num("after", 0)), Limit: int32(a.num("limit", 0)),
		Since: a.num("since", 0), Until: a.num("until", 0),
	}
	events, more := w.s.Audit(q)
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%d %s", e.GetNumber(), e.GetKind())
		for _, x := range [][2]string{
			{"by", e.GetIdentity()}, {"binding", e.GetBinding()}, {"group", e.GetGroup()}, {"agent", e.GetAgent()}, {"grant", e.GetGrant()},
			{"share", e.GetShare()}, {"topic", e.GetTopic()},
		} {
			if x[1] != "" {
				fmt.Fprintf(&b, " %s %s", x[0], x[1])
			}
		}
		if e.GetBytes() != 0 {
			fmt.Fprintf(&b, " %d bytes", e.GetBytes())
		}
		if e.GetDetail() != "" {
			fmt.Fprintf(&b, ": %s", e.GetDetail())
		}
		b.WriteString("\n")
	}
	if more {
		b.WriteString("and more\n")
	}
	return b.String()
}

func (w *script) count(a *args) string {
	w.apply(&controlpb.Command{Op: &controlpb.Command_Audit{Audit: &controlpb.AuditCommand{Events: []*controlpb.AuditEvent{{
		Number: 99, Kind: a.words[0], Group: a.text("group", ""), Topic: a.text("topic", ""), Bytes: a.num("bytes", 0), Time: w.now,
	}}}}})
	return "ok\n"
}

// showWalls lists the walls; what follows from the state's clock is told.
func (w *script) showWalls() string {
	var b strings.Builder
	all := w.s.DescribeWalls()
	fmt.Fprintf(&b, "walls %d, open %t\n", w.s.Walls(), all.GetOpen())
	for _, sh := range all.GetShares() {
		fmt.Fprintf(&b, "share %s in %s", sh.GetName(), sh.GetBucket())
		for _, x := range []string{sh.GetRegion(), sh.GetKmsKey(), sh.GetAccount()} {
			if x != "" {
				fmt.Fprintf(&b, " %s", x)
			}
		}
		for _, r := range sh.GetRoles() {
			fmt.Fprintf(&b, " %s/%s=%s", r.GetGroup(), r.GetRole(), r.GetRoleArn())
		}
		b.WriteString("\n")
	}
	for _, g := range all.GetGroups() {
		fmt.Fprintf(&b, "group %s %v %v %q\n", g.GetName(), g.GetRoles(), g.GetZones(), g.GetNote())
	}
	for _, g := range all.GetGrants() {
		have, _ := w.s.grants.Get(g.GetName())
		fmt.Fprintf(&b, "grant %s", describeGrant(g))
		if have.expired {
			b.WriteString(" (over)")
		}
		b.WriteString("\n")
	}
	for _, x := range all.GetBindings() {
		fmt.Fprintf(&b, "binding %s", describeBinding(x))
		for _, list := range [][]string{x.GetShares(), x.GetIdPrefixes()} {
			if len(list) > 0 {
				fmt.Fprintf(&b, " %v", list)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
