package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// Walls are all shares, groups, grants and bindings, each by name.
type Walls struct {
	Shares   []Share       `json:"shares"`
	Groups   []AgentGroup  `json:"groups"`
	Grants   []AccessGrant `json:"grants"`
	Bindings []Binding     `json:"bindings"`
	// Open: there are no bindings, so that whoever calls from loopback is admitted.
	Open bool `json:"open"`
}

// Share is a named set of topics, and where and as whom its objects are reached.
type Share struct {
	Name    string      `json:"name"`
	Bucket  string      `json:"bucket"`            // URL
	Region  string      `json:"region,omitempty"`  // of the bucket; empty: as the URL says
	KMSKey  string      `json:"kms_key,omitempty"` // ARN; empty: the bucket's default
	Account string      `json:"account,omitempty"` // that must own the bucket; empty: not checked
	Roles   []ShareRole `json:"roles,omitempty"`
}

// ShareRole is the IAM role by which agents of a group, in one role of theirs, reach a share.
type ShareRole struct {
	Group      string `json:"group"`
	Role       string `json:"role"`
	ARN        string `json:"role_arn"` // empty: the agent's own credentials
	ExternalID string `json:"external_id,omitempty"`
}

// AgentGroup is what is known of a group of agents beside its bindings.
type AgentGroup struct {
	Name  string   `json:"name"`
	Roles []string `json:"roles,omitempty"` // that its agents may have; none: any
	Zones []string `json:"zones,omitempty"`
	Note  string   `json:"note,omitempty"`
	Quota Quota    `json:"quota,omitzero"`
}

// Quota bounds a group; 0 is no bound.
type Quota struct {
	BytesIn     int64 `json:"bytes_in,omitempty"`  // a second, from producers
	BytesOut    int64 `json:"bytes_out,omitempty"` // a second, to consumers
	Requests    int64 `json:"requests,omitempty"`  // a second
	Connections int64 `json:"connections,omitempty"`
	ProducerIDs int64 `json:"producer_ids,omitempty"`
	Partitions  int64 `json:"partitions,omitempty"` // of topics that the group created
}

// AccessGrant lets a group produce to or fetch from a share, or topics of it.
type AccessGrant struct {
	Name   string    `json:"name"`
	Group  string    `json:"group"`
	Share  string    `json:"share"`
	Access string    `json:"access"`           // produce or fetch
	Topic  string    `json:"topic,omitempty"`  // this topic alone; with Prefix those whose names begin so; empty: all of the share
	Prefix bool      `json:"prefix,omitempty"` // Topic is how names begin
	Create bool      `json:"create,omitempty"` // metadata requests may create topics that it covers
	Until  time.Time `json:"until,omitzero"`   // zero: for good
}

// Binding says what a proven identity is.
type Binding struct {
	Name       string   `json:"name"`
	Match      Match    `json:"match"`
	Group      string   `json:"group,omitempty"` // empty only with Admin
	Roles      []string `json:"roles,omitempty"`
	Shares     []string `json:"shares,omitempty"`      // at most these of the group's; none: all that the group is granted
	IDPrefixes []string `json:"id_prefixes,omitempty"` // of consumer groups and transactional ids; "*" is every one
	Admin      bool     `json:"admin,omitempty"`
	MaxAgents  int32    `json:"max_agents,omitempty"` // 0: no bound
}

// Match names identities. A trailing * in ARN, Subject or URI matches any rest.
type Match struct {
	Method   string `json:"method"` // aws-sigv4, aws-oidc or mtls
	ARN      string `json:"arn,omitempty"`
	UniqueID string `json:"unique_id,omitempty"`
	Issuer   string `json:"issuer,omitempty"`
	Subject  string `json:"subject,omitempty"`
	URI      string `json:"uri,omitempty"`
}

// JoinToken lets one agent in, once.
type JoinToken struct {
	Hash       []byte // SHA-256 of the token
	Until      time.Time
	Group      string
	Roles      []string
	IDPrefixes []string
}

// Refused is what the control plane says of a change that it does not make.
type Refused struct {
	Code   int16 // Kafka's
	Reason string
}

func (r *Refused) Error() string {
	if r.Reason != "" {
		return r.Reason
	}
	return fmt.Sprint(kerr.ErrorForCode(r.Code))
}

// Walls reads them all, from a confirmed leader read; it needs admin.
func (c *Client) Walls(ctx context.Context) (Walls, error) {
	var got *controlpb.WallsResponse
	err := c.do(ctx, "Walls", always, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		got, err = controlpb.NewWallsServiceClient(n.conn).Walls(ctx, &controlpb.WallsRequest{}, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return Walls{}, err
	}
	w := Walls{Shares: shares(got.GetShares()), Open: got.GetOpen()}
	for _, g := range got.GetGroups() {
		w.Groups = append(w.Groups, AgentGroup{
			Name: g.GetName(), Roles: g.GetRoles(), Zones: g.GetZones(), Note: g.GetNote(), Quota: quotaOf(g.GetQuota()),
		})
	}
	for _, g := range got.GetGrants() {
		grant := AccessGrant{
			Name: g.GetName(), Group: g.GetGroup(), Share: g.GetShare(), Access: g.GetAccess(), Topic: g.GetTopic(),
			Prefix: g.GetPrefix(), Create: g.GetCreate(),
		}
		if g.GetUntil() != 0 {
			grant.Until = time.UnixMilli(g.GetUntil()).UTC()
		}
		w.Grants = append(w.Grants, grant)
	}
	for _, b := range got.GetBindings() {
		m := b.GetMatch()
		w.Bindings = append(w.Bindings, Binding{
			Name: b.GetName(), Group: b.GetGroup(), Roles: b.GetRoles(), Shares: b.GetShares(), IDPrefixes: b.GetIdPrefixes(),
			Admin: b.GetAdmin(), MaxAgents: b.GetMaxAgents(),
			Match: Match{m.GetMethod(), m.GetArn(), m.GetUniqueId(), m.GetIssuer(), m.GetSubject(), m.GetUri()},
		})
	}
	return w, nil
}

func shares(in []*controlpb.Share) []Share {
	var out []Share
	for _, s := range in {
		share := Share{Name: s.GetName(), Bucket: s.GetBucket(), Region: s.GetRegion(), KMSKey: s.GetKmsKey(), Account: s.GetAccount()}
		for _, r := range s.GetRoles() {
			share.Roles = append(share.Roles, ShareRole{r.GetGroup(), r.GetRole(), r.GetRoleArn(), r.GetExternalId()})
		}
		out = append(out, share)
	}
	return out
}

func quotaOf(q *controlpb.Quota) Quota {
	return Quota{q.GetBytesIn(), q.GetBytesOut(), q.GetRequests(), q.GetConnections(), q.GetProducerIds(), q.GetPartitions()}
}

// change asks for one change of the walls; it needs admin. One that finds things as it would leave them may
// be repeated.
func (c *Client) change(ctx context.Context, what string, again repeat, change *controlpb.WallChange) error {
	var got *controlpb.ChangeResponse
	err := c.do(ctx, "Change", again, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		got, err = controlpb.NewWallsServiceClient(n.conn).Change(ctx, &controlpb.ChangeRequest{Change: change}, grpc.Trailer(trailer))
		return err
	})
	switch {
	case err != nil && again == whileRefused && errors.Is(err, ErrUnavailable):
		return fmt.Errorf("%s: %w (it may have been done: look before trying again)", what, err)
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case got.GetError() != 0:
		return fmt.Errorf("%s: %w", what, &Refused{int16(got.GetError()), got.GetReason()})
	}
	return nil
}

// PutShare makes a share or changes it. Its bucket is its own for good.
func (c *Client) PutShare(ctx context.Context, s Share) error {
	put := &controlpb.Share{Name: s.Name, Bucket: s.Bucket, Region: s.Region, KmsKey: s.KMSKey, Account: s.Account}
	for _, r := range s.Roles {
		put.Roles = append(put.Roles, &controlpb.ShareRole{Group: r.Group, Role: r.Role, RoleArn: r.ARN, ExternalId: r.ExternalID})
	}
	return c.change(ctx, "put share "+s.Name, always, &controlpb.WallChange{Change: &controlpb.WallChange_PutShare{PutShare: put}})
}

// RemoveShare removes a share that has neither topics nor grants.
func (c *Client) RemoveShare(ctx context.Context, name string) error {
	return c.change(ctx, "remove share "+name, whileRefused, &controlpb.WallChange{Change: &controlpb.WallChange_RemoveShare{RemoveShare: name}})
}

// PutGroup makes a group known or changes what is known of it.
func (c *Client) PutGroup(ctx context.Context, g AgentGroup) error {
	put := &controlpb.AgentGroup{Name: g.Name, Roles: g.Roles, Zones: g.Zones, Note: g.Note}
	if g.Quota != (Quota{}) {
		put.Quota = &controlpb.Quota{
			BytesIn: g.Quota.BytesIn, BytesOut: g.Quota.BytesOut, Requests: g.Quota.Requests,
			Connections: g.Quota.Connections, ProducerIds: g.Quota.ProducerIDs, Partitions: g.Quota.Partitions,
		}
	}
	return c.change(ctx, "put group "+g.Name, always, &controlpb.WallChange{Change: &controlpb.WallChange_PutGroup{PutGroup: put}})
}

// RemoveGroup forgets what is known of a group.
func (c *Client) RemoveGroup(ctx context.Context, name string) error {
	return c.change(ctx, "remove group "+name, whileRefused, &controlpb.WallChange{Change: &controlpb.WallChange_RemoveGroup{RemoveGroup: name}})
}

// RotateGroup gives a group new gossip keys and certificates.
func (c *Client) RotateGroup(ctx context.Context, name string) error {
	return c.change(ctx, "rotate the keys of group "+name, whileRefused, &controlpb.WallChange{Change: &controlpb.WallChange_RotateGroup{RotateGroup: name}})
}

// RevokeGroup removes every binding and grant of a group and gives it new keys: no agent of it is admitted any more.
func (c *Client) RevokeGroup(ctx context.Context, name string) error {
	return c.change(ctx, "revoke group "+name, whileRefused, &controlpb.WallChange{Change: &controlpb.WallChange_RevokeGroup{RevokeGroup: name}})
}

// RevokeRole takes one role from a group: from its bindings, and the grants of its access.
func (c *Client) RevokeRole(ctx context.Context, group, role string) error {
	return c.change(ctx, "revoke role "+role+" of group "+group, whileRefused, &controlpb.WallChange{Change: &controlpb.WallChange_RevokeRole{
		RevokeRole: &controlpb.RevokeRole{Group: group, Role: role},
	}})
}

// PutGrant makes a grant or replaces the one of its name.
func (c *Client) PutGrant(ctx context.Context, g AccessGrant) error {
	put := &controlpb.Grant{
		Name: g.Name, Group: g.Group, Share: g.Share, Access: g.Access, Topic: g.Topic, Prefix: g.Prefix, Create: g.Create,
	}
	if !g.Until.IsZero() {
		put.Until = g.Until.UnixMilli()
	}
	return c.change(ctx, "put grant "+g.Name, always, &controlpb.WallChange{Change: &controlpb.WallChange_PutGrant{PutGrant: put}})
}

// RemoveGrant ends a grant: plans, watches and commits under it end at once.
func (c *Client) RemoveGrant(ctx context.Context, name string) error {
	return c.change(ctx, "remove grant "+name, whileRefused, &controlpb.WallChange{Change: &controlpb.WallChange_RemoveGrant{RemoveGrant: name}})
}

// PutBinding makes a binding or replaces the one of its name.
func (c *Client) PutBinding(ctx context.Context, b Binding) error {
	return c.change(ctx, "put binding "+b.Name, always, &controlpb.WallChange{Change: &controlpb.WallChange_PutBinding{PutBinding: &controlpb.Binding{
		Name: b.Name, Group: b.Group, Roles: b.Roles, Shares: b.Shares, IdPrefixes: b.IDPrefixes, Admin: b.Admin, MaxAgents: b.MaxAgents,
		Match: &controlpb.Match{
			Method: b.Match.Method, Arn: b.Match.ARN, UniqueId: b.Match.UniqueID, Issuer: b.Match.Issuer, Subject: b.Match.Subject, Uri: b.Match.URI,
		},
	}}})
}

// RemoveBinding ends a binding and the sessions of those who came by it.
func (c *Client) RemoveBinding(ctx context.Context, name string) error {
	return c.change(ctx, "remove binding "+name, whileRefused, &controlpb.WallChange{Change: &controlpb.WallChange_RemoveBinding{RemoveBinding: name}})
}

// PutJoinToken lets one agent in that proves to know the token.
func (c *Client) PutJoinToken(ctx context.Context, t JoinToken) error {
	return c.change(ctx, "put a join token of group "+t.Group, always, &controlpb.WallChange{Change: &controlpb.WallChange_PutJoinToken{PutJoinToken: &controlpb.JoinToken{
		Hash: t.Hash, Until: t.Until.UnixMilli(), Group: t.Group, Roles: t.Roles, IdPrefixes: t.IDPrefixes,
	}}})
}
