package check

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// module is a folder of configuration.
type module struct {
	dir    string
	blocks []*hclsyntax.Block
	text   map[string]string // by file
}

// modules are all folders with a versions.tf.
func modules(t *testing.T) []module {
	t.Helper()
	var all []module
	for _, pattern := range []string{"../../modules/*", "../../../examples/*", "../../../examples/*/*"} {
		dirs, err := filepath.Glob(pattern + "/versions.tf")
		if err != nil {
			t.Fatal(err)
		}
		for _, versions := range dirs {
			m := module{dir: filepath.Dir(versions), text: map[string]string{}}
			files, err := filepath.Glob(m.dir + "/*.tf")
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				parsed, faults := hclsyntax.ParseConfig(raw, file, hcl.InitialPos)
				if faults.HasErrors() {
					t.Fatal(faults)
				}
				m.text[filepath.Base(file)] = string(raw)
				m.blocks = append(m.blocks, parsed.Body.(*hclsyntax.Body).Blocks...)
			}
			all = append(all, m)
		}
	}
	if len(all) < 8 {
		t.Fatalf("found %d modules and examples", len(all))
	}
	return all
}

func (m module) source(n hclsyntax.Node) string {
	r := n.Range()
	return m.text[filepath.Base(r.Filename)][r.Start.Byte:r.End.Byte]
}

// value is an argument's text, below nested blocks named by dots.
func (m module) value(b *hclsyntax.Block, path string) (string, bool) {
	first, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		a, ok := b.Body.Attributes[path]
		if !ok {
			return "", false
		}
		return m.source(a.Expr), true
	}
	for _, inner := range b.Body.Blocks {
		if inner.Type == first {
			if v, ok := m.value(inner, rest); ok {
				return v, true
			}
		}
	}
	return "", false
}

func (m module) text1(b *hclsyntax.Block, name string) string {
	v, _ := m.value(b, name)
	return strings.Trim(v, `"`)
}

// TestStructure holds modules to the standard structure.
func TestStructure(t *testing.T) {
	for _, m := range modules(t) {
		for _, file := range []string{"main.tf", "variables.tf", "outputs.tf", "versions.tf"} {
			if m.text[file] == "" {
				t.Errorf("%s has no %s", m.dir, file)
			}
		}
		for _, b := range m.blocks {
			switch b.Type {
			case "variable":
				if m.text1(b, "description") == "" || m.text1(b, "type") == "" {
					t.Errorf("%s: variable %s wants a description and a type", m.dir, b.Labels[0])
				}
				validated := slices.ContainsFunc(b.Body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == "validation" })
				if !validated && m.text1(b, "type") != "bool" {
					t.Errorf("%s: variable %s is not validated", m.dir, b.Labels[0])
				}
				used := regexp.MustCompile(`\bvar\.` + b.Labels[0] + `\b`)
				outside := 0
				for file, text := range m.text {
					if file != "variables.tf" {
						outside += len(used.FindAllString(text, -1))
					}
				}
				if outside == 0 {
					t.Errorf("%s: variable %s is not used", m.dir, b.Labels[0])
				}
			case "output":
				if m.text1(b, "description") == "" {
					t.Errorf("%s: output %s is not described", m.dir, b.Labels[0])
				}
			}
		}
	}
}

// rule is what every resource of a type must say. Its names are those of the scanners' rules.
type rule struct {
	names, resource, argument, want string
}

var rules = []rule{
	{"CKV_AWS_53 AWS-0086", "aws_s3_bucket_public_access_block", "block_public_acls", "true"},
	{"CKV_AWS_54 AWS-0087", "aws_s3_bucket_public_access_block", "block_public_policy", "true"},
	{"CKV_AWS_55 AWS-0091", "aws_s3_bucket_public_access_block", "ignore_public_acls", "true"},
	{"CKV_AWS_56 AWS-0093", "aws_s3_bucket_public_access_block", "restrict_public_buckets", "true"},
	{"CKV2_AWS_65", "aws_s3_bucket_ownership_controls", "rule.object_ownership", `"BucketOwnerEnforced"`},
	{"CKV_AWS_21 AWS-0090", "aws_s3_bucket_versioning", "versioning_configuration.status", `"Enabled"`},
	{"CKV_AWS_19 CKV_AWS_145 AWS-0132", "aws_s3_bucket_server_side_encryption_configuration", "rule.bucket_key_enabled", "true"},
	{"CKV2_AWS_61", "aws_s3_bucket_lifecycle_configuration", "rule.status", `"Enabled"`},
	{"CKV_AWS_7 AWS-0065", "aws_kms_key", "enable_key_rotation", "true"},
	{"CKV2_AWS_64", "aws_kms_key", "policy", ""},
	{"CKV_AWS_123", "aws_vpc_endpoint_service", "acceptance_required", "true"},
	{"CKV_AWS_150", "aws_lb", "enable_deletion_protection", "var.deletion_protection"},
	{"CKV_AWS_152", "aws_lb", "enable_cross_zone_load_balancing", "true"},
	{"CKV_AWS_79 AWS-0028", "aws_instance", "metadata_options.http_tokens", `"required"`},
	{"CKV_AWS_341", "aws_instance", "metadata_options.http_put_response_hop_limit", "1"},
	{"CKV_AWS_8 AWS-0131", "aws_instance", "root_block_device.encrypted", "true"},
	{"CKV_AWS_3", "aws_ebs_volume", "encrypted", "true"},
	{"CKV_AWS_65 AWS-0034", "aws_ecs_cluster", "setting.value", `"enabled"`},
	{"CKV_AWS_333", "aws_ecs_service", "network_configuration.assign_public_ip", "false"},
	{"CKV_AWS_66 CKV_AWS_338", "aws_cloudwatch_log_group", "retention_in_days", ""},
	{"CKV_AWS_158 AWS-0017", "aws_cloudwatch_log_group", "kms_key_id", ""},
	{"CKV_AWS_249", "aws_ecs_task_definition", "execution_role_arn", "aws_iam_role.start[0].arn"},
	{"CKV_AWS_249", "aws_ecs_task_definition", "task_role_arn", "aws_iam_role.agent.arn"},
	{"CKV_AWS_23 AWS-0124", "aws_security_group", "description", ""},
	{"CKV_AWS_23 AWS-0124", "aws_vpc_security_group_ingress_rule", "description", ""},
	{"CKV_AWS_23 AWS-0124", "aws_vpc_security_group_egress_rule", "description", ""},
}

// TestScanners asserts what checkov's and trivy's rules of these names ask for.
func TestScanners(t *testing.T) {
	met := map[rule]int{}
	for _, m := range modules(t) {
		for _, b := range m.blocks {
			if b.Type != "resource" {
				continue
			}
			for _, r := range rules {
				if b.Labels[0] != r.resource {
					continue
				}
				if v, ok := m.value(b, r.argument); !ok || r.want != "" && v != r.want {
					t.Errorf("%s: %s.%s: %s is %q and should be %q (%s)", m.dir, b.Labels[0], b.Labels[1], r.argument, v, r.want, r.names)
				}
				met[r]++
			}
			text := m.source(b)
			if strings.HasPrefix(b.Labels[0], "aws_vpc_security_group") && (strings.Contains(text, `"-1"`) || strings.Contains(text, "0.0.0.0/0")) {
				t.Errorf("%s: %s.%s lets everything through (CKV_AWS_24 CKV_AWS_25 CKV_AWS_260 CKV_AWS_277 CKV_AWS_382 AWS-0104 AWS-0107)", m.dir, b.Labels[0], b.Labels[1])
			}
			if b.Labels[0] == "aws_security_group" && (strings.Contains(text, "ingress {") || strings.Contains(text, "egress {")) {
				t.Errorf("%s: %s has rules of its own: write them as resources", m.dir, b.Labels[1])
			}
			if b.Labels[0] == "aws_ecs_task_definition" && !(strings.Contains(text, "readonlyRootFilesystem = true") && regexp.MustCompile(`privileged\s+= false`).MatchString(text)) {
				t.Errorf("%s: the container may write or is privileged (CKV_AWS_334 CKV_AWS_335 CKV_AWS_336)", m.dir)
			}
			if strings.HasPrefix(b.Labels[0], "aws_iam_") && regexp.MustCompile(`(Action|Resource)\s*=\s*"\*"`).MatchString(text) {
				t.Errorf("%s: %s has a wildcard (CKV_AWS_62 CKV_AWS_63 CKV_AWS_286 CKV_AWS_355 AWS-0057)", m.dir, b.Labels[1])
			}
		}
	}
	for _, r := range rules {
		if met[r] == 0 {
			t.Errorf("no resource %s: the rule checks nothing", r.resource)
		}
	}
}

// TestSkipsSayWhy wants a reason behind every skipped rule.
func TestSkipsSayWhy(t *testing.T) {
	skip := regexp.MustCompile(`(?m)^#(checkov:skip=|trivy:ignore:)(\S*)(.*)$`)
	found := 0
	for _, m := range modules(t) {
		for file, text := range m.text {
			for _, s := range skip.FindAllStringSubmatch(text, -1) {
				found++
				reason := s[3]
				if _, after, ok := strings.Cut(s[2], ":"); ok {
					reason = after + reason
				}
				if len(strings.TrimSpace(reason)) < 20 {
					t.Errorf("%s/%s: %s without a reason", m.dir, file, s[2])
				}
			}
		}
	}
	if found == 0 {
		t.Error("no skip was found")
	}
}

const begin, end = "<!-- inputs and outputs -->\n", "<!-- end -->\n"

// tables are a module's inputs and outputs for its README.
func (m module) tables() string {
	var inputs, outputs []string
	for _, b := range m.blocks {
		cell := func(name string) string {
			return strings.ReplaceAll(strings.Join(strings.Fields(m.text1(b, name)), " "), "|", "\\|")
		}
		switch b.Type {
		case "variable":
			fallback := "required"
			if v, ok := m.value(b, "default"); ok {
				fallback = "`" + strings.Join(strings.Fields(v), " ") + "`"
			}
			kind, _, _ := strings.Cut(cell("type"), "(")
			inputs = append(inputs, fmt.Sprintf("| `%s` | %s | %s | %s |", b.Labels[0], cell("description"), kind, fallback))
		case "output":
			outputs = append(outputs, fmt.Sprintf("| `%s` | %s |", b.Labels[0], cell("description")))
		}
	}
	return "| input | what it is | type | default |\n| --- | --- | --- | --- |\n" + strings.Join(inputs, "\n") +
		"\n\n| output | what it is |\n| --- | --- |\n" + strings.Join(outputs, "\n") + "\n"
}

func TestTablesAreCurrent(t *testing.T) {
	for _, m := range modules(t) {
		path := m.dir + "/README.md"
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		before, rest, ok := strings.Cut(string(raw), begin)
		_, after, closed := strings.Cut(rest, end)
		want := before + begin + m.tables() + end + after
		switch {
		case !ok || !closed:
			t.Errorf("%s has no place for its tables", path)
		case os.Getenv("CHECK_WRITE") != "":
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		case string(raw) != want:
			t.Errorf("%s is not current: CHECK_WRITE=1 go test ./check", path)
		}
	}
}
