package control

import (
	"github.com/tidwall/btree"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// wallsSnapshot is the part of a snapshot that holds the walls and the audit.
type wallsSnapshot struct {
	walls      uint64
	nextEvent  uint64
	groups     *btree.Map[string, *controlpb.AgentGroup]
	grants     *btree.Map[string, *grant]
	bindings   *btree.Map[string, *binding]
	joinTokens *btree.Map[string, *controlpb.JoinToken]
	gossip     *btree.Map[string, *gossipKeys]
	audit      *btree.Map[uint64, *controlpb.AuditEvent]
}

func (s *State) snapshotWalls() wallsSnapshot {
	return wallsSnapshot{
		walls: s.walls, nextEvent: s.nextEvent, groups: s.agentGroups.Copy(), grants: s.grants.Copy(), bindings: s.bindings.Copy(),
		joinTokens: s.joinTokens.Copy(), gossip: s.gossip.Copy(), audit: s.audit.Copy(),
	}
}

func (e *encoder) strings(v []string) {
	e.uint(uint64(len(v)))
	for _, x := range v {
		e.string(x)
	}
}

func (d *decoder) strings(what string) (out []string) {
	for range d.count(what) {
		out = append(out, d.string(what))
		if d.err != nil {
			return nil
		}
	}
	return out
}

func writeShare(e *encoder, sh *controlpb.Share) {
	e.strings([]string{sh.GetBucket(), sh.GetRegion(), sh.GetKmsKey(), sh.GetAccount()})
	e.uint(uint64(len(sh.GetRoles())))
	for _, r := range sh.GetRoles() {
		e.strings([]string{r.GetGroup(), r.GetRole(), r.GetRoleArn(), r.GetExternalId()})
	}
}

func readShare(d *decoder) *controlpb.Share {
	sh := &controlpb.Share{}
	if d.version < 2 {
		sh.Bucket = d.string("bucket")
		return sh
	}
	d.texts("share", &sh.Bucket, &sh.Region, &sh.KmsKey, &sh.Account)
	for range d.upTo(maxShareRoles, "share roles") {
		r := &controlpb.ShareRole{}
		d.texts("share role", &r.Group, &r.Role, &r.RoleArn, &r.ExternalId)
		if d.err != nil {
			break
		}
		sh.Roles = append(sh.Roles, r)
	}
	return sh
}

// texts reads a list of as many strings as there are places for them.
func (d *decoder) texts(what string, into ...*string) {
	if n := d.uint(); d.err == nil && n != uint64(len(into)) {
		d.fail("%s of %d texts, not %d", what, n, len(into))
	}
	for _, v := range into {
		*v = d.string(what)
	}
}

func (w *wallsSnapshot) write(e *encoder) {
	e.uint(w.walls)
	e.uint(uint64(w.groups.Len()))
	w.groups.Scan(func(_ string, g *controlpb.AgentGroup) bool {
		writeAgentGroup(e, g)
		return e.err == nil
	})
	e.uint(uint64(w.grants.Len()))
	w.grants.Scan(func(_ string, g *grant) bool {
		e.strings([]string{g.pb.GetName(), g.pb.GetGroup(), g.pb.GetShare(), g.pb.GetAccess(), g.pb.GetTopic()})
		e.bool(g.pb.GetPrefix())
		e.bool(g.pb.GetCreate())
		e.int(g.pb.GetUntil())
		e.bool(g.expired)
		return e.err == nil
	})
	e.uint(uint64(w.bindings.Len()))
	w.bindings.Scan(func(_ string, b *binding) bool {
		m := b.pb.GetMatch()
		e.strings([]string{b.pb.GetName(), b.pb.GetGroup(), m.GetMethod(), m.GetArn(), m.GetUniqueId(), m.GetIssuer(), m.GetSubject(), m.GetUri()})
		e.strings(b.pb.GetRoles())
		e.strings(b.pb.GetShares())
		e.strings(b.pb.GetIdPrefixes())
		e.bool(b.pb.GetAdmin())
		e.int(int64(b.pb.GetMaxAgents()))
		e.bool(b.joined)
		return e.err == nil
	})
	e.uint(uint64(w.joinTokens.Len()))
	w.joinTokens.Scan(func(_ string, t *controlpb.JoinToken) bool {
		e.bytes(t.GetHash())
		e.int(t.GetUntil())
		e.string(t.GetGroup())
		e.strings(t.GetRoles())
		e.strings(t.GetIdPrefixes())
		return e.err == nil
	})
	e.uint(uint64(w.gossip.Len()))
	w.gossip.Scan(func(group string, k *gossipKeys) bool {
		e.string(group)
		e.uint(k.epoch)
		e.uint(k.least)
		e.uint(uint64(k.step))
		e.uint(k.began)
		e.uint(uint64(len(k.keys)))
		for _, key := range k.keys {
			e.bytes(key)
		}
		return e.err == nil
	})
	e.uint(w.nextEvent)
	e.uint(uint64(w.audit.Len()))
	w.audit.Scan(func(number uint64, v *controlpb.AuditEvent) bool {
		e.uint(number)
		e.int(v.GetTime())
		e.strings([]string{v.GetKind(), v.GetIdentity(), v.GetBinding(), v.GetGroup(), v.GetAgent(), v.GetGrant(), v.GetShare(), v.GetTopic(), v.GetDetail()})
		e.int(v.GetBytes())
		e.int(v.GetRecords())
		return e.err == nil
	})
}

func writeAgentGroup(e *encoder, g *controlpb.AgentGroup) {
	e.string(g.GetName())
	e.strings(g.GetRoles())
	e.strings(g.GetZones())
	e.string(g.GetNote())
	e.bool(g.GetQuota() != nil)
	if q := g.GetQuota(); q != nil {
		for _, n := range []int64{q.GetBytesIn(), q.GetBytesOut(), q.GetRequests(), q.GetConnections(), q.GetProducerIds(), q.GetPartitions()} {
			e.int(n)
		}
	}
}

func readAgentGroup(d *decoder) *controlpb.AgentGroup {
	g := &controlpb.AgentGroup{Name: d.string("group"), Roles: d.strings("roles"), Zones: d.strings("zones"), Note: d.string("note")}
	if d.bool() {
		q := &controlpb.Quota{}
		for _, n := range []*int64{&q.BytesIn, &q.BytesOut, &q.Requests, &q.Connections, &q.ProducerIds, &q.Partitions} {
			*n = d.int()
		}
		g.Quota = q
	}
	return g
}

// readWalls reads the walls and the audit; snapshots of version 1 have none.
func (s *State) readWalls(d *decoder) {
	if d.version < 2 {
		return
	}
	s.walls = d.uint()
	for range d.count("groups") {
		g := readAgentGroup(d)
		if d.err != nil {
			return
		}
		s.agentGroups.Set(g.GetName(), g)
	}
	for range d.count("grants") {
		g := &grant{pb: &controlpb.Grant{}}
		d.texts("grant", &g.pb.Name, &g.pb.Group, &g.pb.Share, &g.pb.Access, &g.pb.Topic)
		g.pb.Prefix, g.pb.Create, g.pb.Until, g.expired = d.bool(), d.bool(), d.int(), d.bool()
		if d.err != nil {
			return
		}
		s.setGrant(g)
	}
	for range d.count("bindings") {
		b := readBinding(d)
		if d.err != nil {
			return
		}
		s.setBinding(b)
	}
	for range d.count("join tokens") {
		t := &controlpb.JoinToken{Hash: d.bytes("hash"), Until: d.int(), Group: d.string("group"), Roles: d.strings("roles"), IdPrefixes: d.strings("id prefixes")}
		if d.err != nil {
			return
		}
		s.joinTokens.Set(string(t.GetHash()), t)
	}
	s.readGossipKeys(d)
	s.readAudit(d)
}

func readBinding(d *decoder) *binding {
	m := &controlpb.Match{}
	b := &binding{pb: &controlpb.Binding{Match: m}}
	d.texts("binding", &b.pb.Name, &b.pb.Group, &m.Method, &m.Arn, &m.UniqueId, &m.Issuer, &m.Subject, &m.Uri)
	b.pb.Roles, b.pb.Shares, b.pb.IdPrefixes = d.strings("roles"), d.strings("shares"), d.strings("id prefixes")
	b.pb.Admin, b.pb.MaxAgents, b.joined = d.bool(), d.int32("agents"), d.bool()
	return b
}

func (s *State) readGossipKeys(d *decoder) {
	for range d.count("gossip keys") {
		group := d.string("group")
		k := &gossipKeys{epoch: d.uint(), least: d.uint(), step: rotation(d.upTo(uint64(turning), "rotation")), began: d.uint()}
		n := d.upTo(maxKeys, "gossip keys")
		if n == 0 {
			d.fail("group %q has no gossip key", group)
		}
		for range n {
			k.keys = append(k.keys, d.bytes("gossip key"))
		}
		if d.err != nil {
			return
		}
		s.gossip.Set(group, k)
	}
}

func (s *State) readAudit(d *decoder) {
	s.nextEvent = d.uint()
	for range d.count("audit events") {
		v := &controlpb.AuditEvent{Number: d.uint(), Time: d.int()}
		d.texts("event", &v.Kind, &v.Identity, &v.Binding, &v.Group, &v.Agent, &v.Grant, &v.Share, &v.Topic, &v.Detail)
		v.Bytes, v.Records = d.int(), d.int()
		if d.err != nil {
			return
		}
		s.audit.Set(v.GetNumber(), v)
	}
}
