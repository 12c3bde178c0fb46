package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/isthmusdata/isthmus/control/client"
)

// wallsFile is the YAML that binding apply reads, and that the Terraform modules render. What it does not name is
// left as it is.
type wallsFile struct {
	Shares   []fileShare   `yaml:"shares"`
	Groups   []fileGroup   `yaml:"groups"`
	Grants   []fileGrant   `yaml:"grants"`
	Bindings []fileBinding `yaml:"bindings"`
}

type fileShare struct {
	Name    string     `yaml:"name"`
	Bucket  string     `yaml:"bucket"`
	Region  string     `yaml:"region"`
	KMSKey  string     `yaml:"kms_key"`
	Account string     `yaml:"account"`
	Roles   []fileRole `yaml:"roles"`
}

type fileRole struct {
	Group      string `yaml:"group"`
	Role       string `yaml:"role"`
	ARN        string `yaml:"role_arn"`
	ExternalID string `yaml:"external_id"`
}

type fileGroup struct {
	Name  string    `yaml:"name"`
	Roles []string  `yaml:"roles"`
	Zones []string  `yaml:"zones"`
	Note  string    `yaml:"note"`
	Quota fileQuota `yaml:"quota"`
}

type fileQuota struct {
	BytesIn     int64 `yaml:"bytes_in"`
	BytesOut    int64 `yaml:"bytes_out"`
	Requests    int64 `yaml:"requests"`
	Connections int64 `yaml:"connections"`
	ProducerIDs int64 `yaml:"producer_ids"`
	Partitions  int64 `yaml:"partitions"`
}

type fileGrant struct {
	Name   string    `yaml:"name"`
	Group  string    `yaml:"group"`
	Share  string    `yaml:"share"`
	Access string    `yaml:"access"`
	Topic  string    `yaml:"topic"`
	Prefix bool      `yaml:"prefix"`
	Create bool      `yaml:"create"`
	Until  time.Time `yaml:"until"`
}

// fileBinding is one line of the table of identities: whom it matches, and what they are given.
type fileBinding struct {
	Name  string `yaml:"name"`
	Match struct {
		Method   string `yaml:"method"`
		ARN      string `yaml:"arn"`
		UniqueID string `yaml:"unique_id"`
		Issuer   string `yaml:"issuer"`
		Subject  string `yaml:"sub"`
		URI      string `yaml:"uri"`
	} `yaml:"match"`
	Grant struct {
		Cluster    string   `yaml:"cluster"`
		Group      string   `yaml:"group"`
		Roles      []string `yaml:"roles"`
		Shares     []string `yaml:"shares"`
		IDPrefixes []string `yaml:"id_prefixes"`
		Admin      bool     `yaml:"admin"`
		MaxAgents  int32    `yaml:"max_agents"`
	} `yaml:"grant"`
}

func newBindingApply() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make bindings, and what they lean on, as a file says",
		Long: `apply reads YAML and makes the bindings in it; those that are so already are left alone, and so is what the file does
not name. It may hold shares, groups and grants as well, by the names that list -o json shows; they are made first. Terraform's module
bucket renders such a file.

  bindings:
  - name: prod-agents
    match: {method: aws-sigv4, arn: arn:aws:iam::222222222222:role/isthmus-agent-prod}
    grant: {cluster: main, group: prod, roles: [produce], shares: [orders], max_agents: 200}

A binding is matched by arn (and unique_id), by issuer and sub, or by uri. The grant may name id_prefixes (GROUP- if it does not) and
admin. When a cluster has no bindings yet, one in the file must have admin: it is made first.`,
		Example: "  isthmus binding apply -f bindings.yaml\n  terraform output -raw bindings_yaml | isthmus binding apply -f -",
	}
	cmd.Flags().StringVarP(&path, "file", "f", "", "file to read; - is standard input")
	return asOperator(cmd, func(ctx context.Context, o *operator, _ []string) error {
		file, err := readWalls(path, cmd.InOrStdin())
		if err != nil {
			return err
		}
		status, err := o.client.Status(ctx)
		if err != nil {
			return err
		}
		wanted, err := file.walls(status.Cluster)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		have, err := o.client.Walls(ctx)
		if err != nil {
			return err
		}
		return o.apply(ctx, have, wanted)
	})
}

func readWalls(path string, stdin io.Reader) (wallsFile, error) {
	var file wallsFile
	var text []byte
	var err error
	switch path {
	case "":
		return file, usageError{errors.New("give -f FILE, or -f - for standard input")}
	case "-":
		text, err = io.ReadAll(stdin)
	default:
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return file, fmt.Errorf("read the file of bindings: %w", err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return file, usageError{fmt.Errorf("%s: %w (try: isthmus binding apply --help)", path, err)}
	}
	if len(file.Bindings)+len(file.Shares)+len(file.Groups)+len(file.Grants) == 0 {
		return file, usageError{fmt.Errorf("%s names nothing: it wants bindings, shares, groups or grants (try: isthmus binding apply --help)", path)}
	}
	return file, nil
}

// walls is the file in the words of the control plane. It reports every fault at once.
func (f wallsFile) walls(cluster string) (client.Walls, error) {
	var w client.Walls
	var faults []error
	for _, s := range f.Shares {
		share := client.Share{Name: s.Name, Bucket: s.Bucket, Region: s.Region, KMSKey: s.KMSKey, Account: s.Account}
		if err := checkBucket(s.Bucket); err != nil {
			faults = append(faults, fmt.Errorf("share %q: %w", s.Name, err))
		}
		for _, r := range s.Roles {
			share.Roles = append(share.Roles, client.ShareRole(r))
		}
		w.Shares = append(w.Shares, share)
	}
	for _, g := range f.Groups {
		w.Groups = append(w.Groups, client.AgentGroup{Name: g.Name, Roles: g.Roles, Zones: g.Zones, Note: g.Note, Quota: client.Quota(g.Quota)})
	}
	for _, g := range f.Grants {
		g.Until = g.Until.UTC().Truncate(time.Millisecond)
		w.Grants = append(w.Grants, client.AccessGrant(g))
	}
	for _, b := range f.Bindings {
		binding, err := b.binding(cluster)
		if err != nil {
			faults = append(faults, fmt.Errorf("binding %q: %w", b.Name, err))
		}
		w.Bindings = append(w.Bindings, binding)
	}
	return w, usageUnless(errors.Join(faults...))
}

func (f fileBinding) binding(cluster string) (client.Binding, error) {
	m, g := f.Match, f.Grant
	b := client.Binding{
		Name: f.Name, Group: g.Group, Roles: g.Roles, Shares: g.Shares, IDPrefixes: g.IDPrefixes, Admin: g.Admin, MaxAgents: g.MaxAgents,
		Match: client.Match{Method: m.Method, ARN: m.ARN, UniqueID: m.UniqueID, Issuer: m.Issuer, Subject: m.Subject, URI: m.URI},
	}
	prefixed(&b)
	method, err := methodOf(b.Match)
	switch {
	case err != nil:
		return b, errors.New("match wants arn (and unique_id), or issuer and sub, or uri")
	case m.Method != "" && m.Method != method:
		return b, fmt.Errorf("method %q does not go with what it matches: that is %s", m.Method, method)
	case g.Cluster != "" && g.Cluster != cluster:
		return b, fmt.Errorf("it is for cluster %q, and this is %q", g.Cluster, cluster)
	case f.Name == "":
		return b, errors.New("it has no name")
	}
	b.Match.Method = method
	return b, checkBinding(b)
}

// applied is what became of one thing in the file.
type applied struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Result string `json:"result"` // created, altered or unchanged
}

// apply makes what is wanted and not there yet: shares and groups first, then grants, bindings last and among them those
// of operators first, for the first of all must be one.
func (o *operator) apply(ctx context.Context, have, want client.Walls) error {
	slices.SortStableFunc(want.Bindings, func(a, b client.Binding) int {
		switch {
		case a.Admin == b.Admin:
			return 0
		case a.Admin:
			return -1
		}
		return 1
	})
	var done []applied
	err := put(ctx, &done, shareNoun, have, want, o.client.PutShare)
	if err == nil {
		err = put(ctx, &done, groupNoun, have, want, o.client.PutGroup)
	}
	if err == nil {
		err = put(ctx, &done, grantNoun, have, want, o.client.PutGrant)
	}
	if err == nil {
		err = put(ctx, &done, bindingNoun, have, want, o.client.PutBinding)
	}
	rows := make([][]any, len(done))
	for i, d := range done {
		rows[i] = []any{d.Result, d.Kind, d.Name}
	}
	if err != nil {
		if len(done) > 0 {
			err = fmt.Errorf("%w; %d changes before it stand: mend the file and apply it again", err, len(done))
		}
		return err
	}
	if len(want.Bindings) > 0 {
		o.closed(have)
	}
	return o.print(done, "RESULT\tKIND\tNAME", rows)
}

// put makes those of one kind that are not there as they are wanted.
func put[T any](ctx context.Context, done *[]applied, n noun[T], have, want client.Walls, put func(context.Context, T) error) error {
	for _, x := range n.all(want) {
		result := "created"
		for _, y := range n.all(have) {
			if n.name(y) == n.name(x) {
				result = "altered"
				if same(x, y) {
					result = "unchanged"
				}
			}
		}
		if result != "unchanged" {
			if err := put(ctx, x); err != nil {
				return err
			}
		}
		*done = append(*done, applied{n.what, n.name(x), result})
	}
	return nil
}

// same reports whether two things are alike; a list without anything is like none.
func same(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		f, g := x.Field(i), y.Field(i)
		if f.Kind() == reflect.Slice && f.Len() == 0 && g.Len() == 0 {
			continue
		}
		if t, ok := f.Interface().(time.Time); ok && t.Equal(g.Interface().(time.Time)) {
			continue
		}
		if !reflect.DeepEqual(f.Interface(), g.Interface()) {
			return false
		}
	}
	return true
}
