package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// share is a named set of topics with a bucket of its own. What it points to is never changed, only replaced.
type share struct {
	word uint16
	pb   *controlpb.Share
}

// Bounds of what is said of a share.
const (
	maxShareRoles = 1024
	maxRegion     = 64   // bytes
	maxExternalID = 1224 // as IAM has it
)

// createShare makes a share, or finds it made alike. Its bucket is its own for good, for its objects
// lie there.
func (s *State) createShare(c *controlpb.Share) int16 {
	name, bucket := c.GetName(), c.GetBucket()
	if have, ok := s.shares.Get(name); ok {
		if have.pb.GetBucket() == bucket {
			return 0
		}
		return codeInvalidRequest
	}
	if !lawfulName(name) || len(bucket) > maxAddress {
		return codeInvalidRequest
	}
	w, ok := s.word(name)
	if !ok {
		return codePolicy
	}
	s.shares.Set(name, share{word: w, pb: &controlpb.Share{Name: name, Bucket: bucket}})
	s.wallsRise()
	return 0
}

// putShare makes a share, or changes how it is reached; its bucket stays.
func (s *State) putShare(in *controlpb.Share) refused {
	name := in.GetName()
	if topic.CheckConfig(topic.ShareConfig, name) != nil {
		return refuse(codeInvalidRequest, "share %.80q: a share's name has 1 to 63 lower-case letters, digits, '-', '_' and '.', and begins with a letter or digit", name)
	}
	about := fmt.Sprintf("share %q", name)
	if have, ok := s.shares.Get(name); ok && have.pb.GetBucket() != in.GetBucket() {
		return refuse(codePolicy, "%s lies in bucket %s for good, for its objects do: make another share in %.200s", about, have.pb.GetBucket(), in.GetBucket())
	}
	if why := checkShare(about, in); why.code != 0 {
		return why
	}
	roles := make([]*controlpb.ShareRole, 0, len(in.GetRoles()))
	for _, r := range in.GetRoles() {
		roles = append(roles, &controlpb.ShareRole{Group: r.GetGroup(), Role: r.GetRole(), RoleArn: r.GetRoleArn(), ExternalId: r.GetExternalId()})
	}
	slices.SortFunc(roles, func(a, b *controlpb.ShareRole) int {
		return strings.Compare(a.GetGroup()+" "+a.GetRole(), b.GetGroup()+" "+b.GetRole())
	})
	for i := 1; i < len(roles); i++ {
		if a, b := roles[i-1], roles[i]; a.GetGroup() == b.GetGroup() && a.GetRole() == b.GetRole() {
			return refuse(codeInvalidRequest, "%s: it names two IAM roles by which group %q has the role %s", about, a.GetGroup(), a.GetRole())
		}
	}
	w, room := s.word(name)
	if !room {
		return refuse(codePolicy, "there are as many groups and shares as the cluster may have (%d)", s.limits.MaxNames)
	}
	s.shares.Set(name, share{word: w, pb: &controlpb.Share{
		Name: name, Bucket: in.GetBucket(), Region: in.GetRegion(), KmsKey: in.GetKmsKey(), Account: in.GetAccount(), Roles: roles,
	}})
	return refused{}
}

func checkShare(about string, in *controlpb.Share) refused {
	switch {
	case !strings.Contains(in.GetBucket(), "://"):
		return refuse(codeInvalidRequest, "%s: bucket %.200q is no URL like s3://BUCKET/PREFIX?region=REGION", about, in.GetBucket())
	case len(in.GetBucket()) > maxAddress:
		return refuse(codeInvalidRequest, "%s: its bucket's URL has %d bytes, at most %d", about, len(in.GetBucket()), maxAddress)
	case len(in.GetRegion()) > maxRegion || strings.Trim(in.GetRegion(), "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return refuse(codeInvalidRequest, "%s: %.80q is no region", about, in.GetRegion())
	case in.GetKmsKey() != "" && (!strings.HasPrefix(in.GetKmsKey(), "arn:") || len(in.GetKmsKey()) > maxIdentity):
		return refuse(codeInvalidRequest, "%s: key %.200q is no ARN", about, in.GetKmsKey())
	case in.GetAccount() != "" && !digits(in.GetAccount(), 12):
		return refuse(codeInvalidRequest, "%s: account %.80q has not 12 digits", about, in.GetAccount())
	case len(in.GetRoles()) > maxShareRoles:
		return refuse(codeInvalidRequest, "%s: %d IAM roles, at most %d", about, len(in.GetRoles()), maxShareRoles)
	}
	for _, r := range in.GetRoles() {
		switch {
		case !lawfulName(r.GetGroup()):
			return lawless("group", r.GetGroup())
		case r.GetRole() != RoleProduce && r.GetRole() != RoleFetch && r.GetRole() != RoleJobs:
			return refuse(codeInvalidRequest, "%s: role %.32q of group %q is neither produce nor fetch nor jobs", about, r.GetRole(), r.GetGroup())
		case r.GetRoleArn() != "" && (!strings.HasPrefix(r.GetRoleArn(), "arn:") || !strings.Contains(r.GetRoleArn(), ":role/") || len(r.GetRoleArn()) > maxIdentity):
			return refuse(codeInvalidRequest, "%s: %.200q is not like arn:aws:iam::ACCOUNT:role/NAME", about, r.GetRoleArn())
		case len(r.GetExternalId()) > maxExternalID:
			return refuse(codeInvalidRequest, "%s: an external id of %d bytes, at most %d", about, len(r.GetExternalId()), maxExternalID)
		}
	}
	return refused{}
}

// removeShare forgets a share in which nothing is any more, and of which nobody speaks.
func (s *State) removeShare(name string) refused {
	if _, ok := s.shares.Get(name); !ok {
		return s.noShare("remove share", name)
	}
	if name == topic.DefaultShare {
		return refuse(codePolicy, "share %q is the control plane's own: it makes it at every start", name)
	}
	var named []string
	s.topics.Scan(func(_ string, t *topicEntry) bool {
		if t.topic.Share == name {
			named = append(named, fmt.Sprintf("topic %q", t.topic.Name))
		}
		return true
	})
	s.grants.Scan(func(_ string, g *grant) bool {
		if g.pb.GetShare() == name {
			named = append(named, fmt.Sprintf("grant %q", g.pb.GetName()))
		}
		return true
	})
	s.bindings.Scan(func(_ string, b *binding) bool {
		if slices.Contains(b.pb.GetShares(), name) {
			named = append(named, fmt.Sprintf("binding %q", b.pb.GetName()))
		}
		return true
	})
	if len(named) > 0 {
		return refuse(codePolicy, "share %q is still that of %s", name, some(named))
	}
	s.shares.Delete(name)
	return refused{}
}

func (s *State) noShare(about, name string) refused {
	return refuse(codeNotFound, "%s: there is no share %.80q (there are: %s)", about, name, some(s.shares.Keys()))
}

// SharesOf are the shares that a session's group may use by now, with the IAM roles of its own.
func (s *State) SharesOf(x Session) []*controlpb.Share {
	var out []*controlpb.Share
	who := x.Caller()
	st, d := s.stand(&who)
	if !d.Allowed {
		return nil
	}
	s.shares.Scan(func(name string, sh share) bool {
		if _, ok := s.granted(&st, name, "", func(*grant) bool { return true }); !ok {
			return true
		}
		mine := &controlpb.Share{Name: name, Bucket: sh.pb.GetBucket(), Region: sh.pb.GetRegion(), KmsKey: sh.pb.GetKmsKey(), Account: sh.pb.GetAccount()}
		for _, r := range sh.pb.GetRoles() {
			if r.GetGroup() == x.Group {
				mine.Roles = append(mine.Roles, r)
			}
		}
		out = append(out, mine)
		return true
	})
	return out
}
