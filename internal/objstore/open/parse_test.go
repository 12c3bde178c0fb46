package open

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// TestParse runs testdata/parse. Each line of a "parse" command is a bucket URL; the answer is what was
// understood, or why it was refused. The current folder is written as $PWD.
func TestParse(t *testing.T) {
	pwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	datadriven.RunTest(t, "testdata/parse", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		for raw := range strings.SplitSeq(d.Input, "\n") {
			spec, err := Parse(raw)
			switch {
			case err == nil:
				fmt.Fprintln(&b, describe(spec))
			case !errors.Is(err, objstore.ErrInvalid):
				t.Errorf("%s: error %v is not of class invalid", raw, err)
			default:
				fmt.Fprintln(&b, strings.ReplaceAll(err.Error(), pwd, "$PWD"))
			}
		}
		return b.String()
	})
}

func describe(s Spec) string {
	text := s.Scheme
	add := func(name, value string) {
		if value != "" {
			text += " " + name + "=" + value
		}
	}
	add("bucket", s.S3.Bucket)
	add("dir", s.Dir)
	add("name", s.Name)
	add("prefix", s.Prefix)
	add("region", s.S3.Region)
	add("endpoint", s.S3.Endpoint)
	add("ca", s.S3.CAFile)
	add("owner", s.S3.BucketOwner)
	if s.S3.PathStyle {
		add("path-style", "true")
	}
	if s.Scheme == "s3" {
		add("timeout", s.S3.Timeout.String())
	}
	add("latency", s.Latency)
	if s.Faults != nil {
		add("faults", fmt.Sprint(s.Faults))
	}
	if s.Seed != 0 {
		add("seed", fmt.Sprint(s.Seed))
	}
	return text
}

// FuzzParse: no URL makes Parse panic, and what it accepts leads nowhere but where it says.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"s3://bucket/prefix?region=us-east-1&endpoint=http://127.0.0.1:9000&path-style=true",
		"file:///dir?latency=slow&faults=lost:0.1&seed=1", "mem://name/prefix", "mem://", "file:dir", "s3://a:b@c", "//x", "%zz", "gs://b",
		"file:///a/../../b", "s3://bucket/../x", "mem://n/%2e%2e/x", "s3://bucket?region=a&region=b", "file:///%00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		spec, err := Parse(raw)
		if err != nil {
			var detail *objstore.Error
			if !errors.As(err, &detail) || !errors.Is(err, objstore.ErrInvalid) {
				t.Errorf("error %v is not of class invalid", err)
			}
			return
		}
		if spec.Prefix != "" && objstore.CheckKey(spec.Prefix) != nil {
			t.Errorf("prefix %q", spec.Prefix)
		}
		switch spec.Scheme {
		case "file":
			if !filepath.IsAbs(spec.Dir) || filepath.Clean(spec.Dir) != spec.Dir || spec.Dir == "/" {
				t.Errorf("folder %q", spec.Dir)
			}
		case "s3":
			if err := spec.S3.Validate(); err != nil {
				t.Error(err)
			}
		case "mem":
		default:
			t.Errorf("scheme %q", spec.Scheme)
		}
	})
}
