package tfpolicy

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/policy"
)

// Values that the documents are written with, and the marks that take their place. The longer ones come first: they
// hold the shorter ones. What begins as an ARN keeps its partition as a mark.
const (
	bucket   = "mark-bucket"
	prefix   = "mark-prefix"
	cluster  = "mark-cluster"
	share    = "mark-share"
	group    = "mark-group"
	region   = "xx-mark-1"
	account  = "000000000001"
	endpoint = "mark-endpoint"
	network  = "000000000002"
	external = "mark/external"
	org      = "o-markmarkmark"
	vpce     = "vpce-00000001"
	key      = "arn:aws:kms:xx-mark-1:000000000001:key/mark"
	trusted  = "arn:aws:iam::000000000003:role/mark-trusted"
	assumed  = "arn:aws:iam::000000000001:role/mark-assumed"
	data     = "arn:aws:iam::000000000001:role/mark-data"
	breaks   = "arn:aws:iam::000000000001:role/mark-break"
	encrypt  = "arn:aws:iam::000000000001:role/mark-encrypt"
	decrypt  = "arn:aws:iam::000000000001:role/mark-decrypt"
)

var before = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

var marks = strings.NewReplacer(
	`["`+breaks+`","`+data+`"]`, "{{data_and_break_glass}}",
	`["`+breaks+`"]`, "{{break_glass}}",
	`["`+encrypt+`"]`, "{{encrypt}}",
	`["`+decrypt+`"]`, "{{decrypt}}",
	`["`+trusted+`"]`, "{{trusted}}",
	`["arn:aws:iam::000000000003:root"]`, "{{trusted_accounts}}",
	`["`+assumed+`"]`, "{{assumed}}",
	`["`+vpce+`"]`, "{{source_vpces}}",
	`["`+network+`"]`, "{{network_accounts}}",
	`["arn:aws:s3:::`+endpoint+`"]`, "{{endpoint_buckets}}",
	`["arn:aws:s3:::`+endpoint+`/*"]`, "{{endpoint_objects}}",
	"s3."+region+".amazonaws.com", "{{s3_service}}",
	before.Format(time.RFC3339), "{{before}}",
	key, "{{kms_key}}",
	prefix+"/"+cluster, "{{root}}",
	bucket, "{{bucket}}",
	"isthmus:"+cluster, "isthmus:{{cluster}}",
	share, "{{share}}",
	group, "{{group}}",
	region, "{{region}}",
	account, "{{account}}",
	external, "{{external_id}}",
	org, "{{org}}",
	"arn:aws:", "arn:{{partition}}:",
)

// layout has every value that a document may hold.
func layout(multipart, kms bool) policy.Layout {
	l := policy.Layout{
		Partition: "aws", Bucket: bucket, Prefix: prefix, Cluster: cluster, Share: share, Group: group, Region: region,
		Account: account, Multipart: multipart,
	}
	if kms {
		l.KMSKey = key
	}
	return l
}

// maker gathers documents under the names of their options.
type maker struct {
	all map[string]map[string]string
	err error
}

func (m *maker) add(kind string, options []string, d policy.Document, err error) {
	if err != nil && m.err == nil {
		m.err = fmt.Errorf("%s %v: %w", kind, options, err)
	}
	if m.all[kind] == nil {
		m.all[kind] = map[string]string{}
	}
	m.all[kind][strings.Join(options, " ")] = marks.Replace(d.JSON())
}

// named are the names whose bit is set.
func named(bits int, names ...string) []string {
	set := []string{}
	for i, name := range names {
		if bits&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	return set
}

// Documents is roles.json.
func Documents() ([]byte, error) {
	m := maker{all: map[string]map[string]string{}}
	for _, role := range iam.Roles() {
		for bits := range 4 {
			options := append([]string{string(role)}, named(bits, "kms", "multipart")...)
			l := layout(bits&2 != 0, bits&1 != 0)
			d, err := policy.Permission(role, l)
			m.add("permission", options, d, err)
			d, err = policy.Session(role, l)
			m.add("session", options, d, err)
		}
	}
	for _, mode := range []policy.Mode{policy.ByCondition, policy.ByARN} {
		for bits := range 16 {
			s := policy.TrustSpec{Mode: mode, Principals: []string{trusted}, ExternalID: external, Group: group}
			if bits&1 != 0 {
				s.OrgID = org
			}
			if bits&2 != 0 {
				s.SourceVPCEs = []string{vpce}
			}
			if bits&4 != 0 {
				s.NetworkAccounts = []string{network}
			}
			s.AllowSessionTags = bits&8 != 0
			d, err := policy.Trust(s)
			m.add("trust", append([]string{string(mode)}, named(bits, "org", "vpce", "network", "tags")...), d, err)
		}
	}
	for bits := range 16 {
		if bits&8 != 0 && bits&4 == 0 {
			continue // roles alone would lock everybody out
		}
		s := policy.BucketSpec{Layout: layout(false, bits&1 != 0)}
		if bits&2 != 0 {
			s.NetworkAccounts = []string{network}
		}
		if bits&4 != 0 {
			s.BreakGlass = []string{breaks}
		}
		if bits&8 != 0 {
			s.Roles = []string{data}
		}
		d, err := policy.Bucket(s)
		m.add("bucket", named(bits, "kms", "network", "break", "roles"), d, err)
	}
	for bits := 1; bits < 4; bits++ {
		s := policy.KeySpec{Layout: layout(false, false)}
		if bits&1 != 0 {
			s.Encrypt = []string{encrypt}
		}
		if bits&2 != 0 {
			s.Decrypt = []string{decrypt}
		}
		d, err := policy.Key(s)
		m.add("key", named(bits, "encrypt", "decrypt"), d, err)
	}
	for bits := range 2 {
		s := policy.SourceSpec{Roles: []string{assumed}}
		if bits != 0 {
			s.Cluster = cluster
		}
		d, err := policy.Source(s)
		m.add("source", named(bits, "login"), d, err)
		d, err = policy.Endpoint(policy.EndpointSpec{Partition: "aws", Region: region, Buckets: []string{endpoint}, Account: account, ECR: bits != 0})
		m.add("endpoint", named(bits, "ecr"), d, err)
	}
	m.add("revoke", nil, policy.DenyAll(), nil)
	m.add("revoke", []string{"before"}, policy.RevokeBefore(before), nil)
	if m.err != nil {
		return nil, m.err
	}
	text, err := marshal(m.all)
	if err != nil {
		return nil, fmt.Errorf("write the documents: %w", err)
	}
	if i := strings.Index(string(text), "mark"); i >= 0 {
		return nil, fmt.Errorf("a value was not marked: …%s…", text[max(0, i-40):min(len(text), i+40)])
	}
	return text, nil
}

func marshal(v any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return []byte(b.String()), err
}
