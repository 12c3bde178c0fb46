package open

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/faultstore"
	"github.com/isthmusdata/isthmus/internal/objstore/s3store"
	"github.com/isthmusdata/isthmus/internal/units"
)

// Spec is a bucket URL that has been understood.
type Spec struct {
	Scheme string         // s3, file or mem
	S3     s3store.Config // of s3
	Dir    string         // of file: an absolute path
	Name   string         // of mem
	Prefix string         // without slashes around it; of s3 and mem

	Latency string            // name of a profile; empty: none
	Faults  []faultstore.Rule // nil: none
	Limit   *faultstore.Limit // nil: none
	Seed    uint64
}

const maxURL = 8 << 10 // bytes

const examples = "write s3://BUCKET/PREFIX?region=us-east-1, file:///FOLDER or mem://NAME"

func refuse(name string, cause error, try string) error {
	return &objstore.Error{Op: "open bucket", Name: name, Class: objstore.ErrInvalid, Cause: cause, Try: try}
}

// Parse reads a bucket URL.
func Parse(raw string) (Spec, error) {
	if len(raw) > maxURL {
		return Spec{}, refuse("", fmt.Errorf("the bucket URL has %d bytes, more than %d", len(raw), maxURL), examples)
	}
	u, err := url.Parse(raw)
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // without the URL, which may hold what should not be shown
	}
	if err != nil {
		return Spec{}, refuse("", fmt.Errorf("not a URL: %w", err), examples)
	}
	if u.User != nil {
		return Spec{}, refuse("", errors.New("credentials do not belong in a bucket URL"),
			"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or attach a role")
	}
	spec := Spec{Scheme: u.Scheme}
	try, place := spec.place(u, raw)
	query, err := url.ParseQuery(u.RawQuery)
	faults := []error{place, err, spec.options(query)}
	if place == nil {
		faults = append(faults, spec.check())
	}
	if err := errors.Join(faults...); err != nil {
		u.RawQuery = "" // which may hold a secret
		return Spec{}, refuse(u.String(), oneLine{err}, try)
	}
	return spec, nil
}

// oneLine writes several faults behind each other.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.ReplaceAll(e.error.Error(), "\n", "; ") }

func (e oneLine) Unwrap() error { return e.error }

// place reads what stands before the question mark.
func (s *Spec) place(u *url.URL, raw string) (try string, err error) {
	if u.Fragment != "" || strings.HasSuffix(raw, "#") {
		return "write it as %23", errors.New("a # has no meaning in a bucket URL")
	}
	switch s.Scheme {
	case "s3":
		s.S3 = s3store.Default()
		s.S3.Bucket = u.Host
		return "", s.setPrefix(u)
	case "mem":
		s.Name = u.Host
		return "", s.setPrefix(u)
	case "file":
		return s.setFolder(u)
	case "":
		if absolute, err := filepath.Abs(u.Path); err == nil && u.Path != "" {
			return "file://" + filepath.ToSlash(absolute), errors.New("no scheme")
		}
		return examples, errors.New("no scheme")
	case "gs", "azblob":
		return examples, fmt.Errorf("%s:// is not supported yet", s.Scheme)
	}
	schemes := []string{"s3", "file", "mem"}
	if near := units.Nearest(s.Scheme, schemes); near != "" {
		return examples, fmt.Errorf("unknown scheme %q; did you mean %s://", s.Scheme, near)
	}
	return examples, fmt.Errorf("unknown scheme %q", s.Scheme)
}

func (s *Spec) setFolder(u *url.URL) (try string, err error) {
	if u.Opaque != "" || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
		relative := filepath.FromSlash(u.Opaque + u.Host + u.Path)
		try = "write file:///FOLDER, with three slashes"
		if absolute, err := filepath.Abs(relative); err == nil && relative != "" {
			try = "file://" + filepath.ToSlash(absolute)
		}
		return try, errors.New("not an absolute path")
	}
	if strings.ContainsRune(u.Path, 0) {
		return "", errors.New("the path holds a NUL")
	}
	s.Dir = path.Clean(u.Path)
	if s.Dir == "/" {
		return "name a folder of its own", errors.New("the root folder cannot be a bucket")
	}
	return "", nil
}

func (s *Spec) setPrefix(u *url.URL) error {
	if u.Opaque != "" {
		return fmt.Errorf("%s: without //", s.Scheme)
	}
	s.Prefix = strings.Trim(u.Path, "/")
	if s.Prefix == "" {
		return nil
	}
	if err := objstore.CheckKey(s.Prefix); err != nil {
		return fmt.Errorf("prefix %q: %w", s.Prefix, err)
	}
	return nil
}

// options reads what stands after the question mark.
func (s *Spec) options(query url.Values) error {
	setters := s.setters()
	known := make([]string, 0, len(setters))
	for name := range setters {
		known = append(known, name)
	}
	slices.Sort(known)
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	var faults []error
	for _, name := range names {
		set, ok := setters[name]
		switch values := query[name]; {
		case !ok:
			faults = append(faults, unknownOption(name, known))
		case len(values) > 1:
			faults = append(faults, fmt.Errorf("option %s is given %d times", name, len(values)))
		default:
			if err := set(values[0]); err != nil {
				faults = append(faults, fmt.Errorf("option %s: %w", name, err))
			}
		}
	}
	if !query.Has("path-style") && needsPathStyle(s.S3.Endpoint) {
		s.S3.PathStyle = true
	}
	return errors.Join(faults...)
}

func unknownOption(name string, known []string) error {
	if near := units.Nearest(name, known); near != "" {
		return fmt.Errorf("unknown option %q; did you mean %s", name, near)
	}
	return fmt.Errorf("unknown option %q; known are %s", name, strings.Join(known, ", "))
}

// setters are the options of the scheme.
func (s *Spec) setters() map[string]func(string) error {
	text := func(field *string) func(string) error {
		return func(v string) error {
			if v == "" {
				return errors.New("empty")
			}
			*field = v
			return nil
		}
	}
	setters := map[string]func(string) error{"latency": s.setLatency, "faults": s.setFaults, "throttle": s.setLimit, "seed": s.setSeed}
	if s.Scheme == "s3" {
		setters["region"] = text(&s.S3.Region)
		setters["endpoint"] = text(&s.S3.Endpoint)
		setters["ca"] = text(&s.S3.CAFile)
		setters["bucket-owner"] = text(&s.S3.BucketOwner)
		setters["path-style"] = s.setPathStyle
		setters["timeout"] = s.setTimeout
	}
	return setters
}

func (s *Spec) setLatency(v string) error {
	if _, ok := faultstore.FindProfile(v); ok {
		s.Latency = v
		return nil
	}
	var names []string
	for _, p := range faultstore.Profiles() {
		names = append(names, p.Name)
	}
	if near := units.Nearest(v, names); near != "" {
		return fmt.Errorf("no profile %q; did you mean %s", v, near)
	}
	return fmt.Errorf("no profile %q; known are %s", v, strings.Join(names, ", "))
}

func (s *Spec) setFaults(v string) (err error) {
	s.Faults, err = faultstore.ParseFaults(v)
	return err
}

func (s *Spec) setLimit(v string) error {
	l, err := faultstore.ParseLimit(v)
	if err == nil {
		s.Limit = &l
	}
	return err
}

func (s *Spec) setSeed(v string) (err error) {
	if s.Seed, err = strconv.ParseUint(v, 10, 64); err != nil {
		return fmt.Errorf("%q is not a number from 0", v)
	}
	return nil
}

func (s *Spec) setPathStyle(v string) (err error) {
	switch v {
	case "true", "false":
		s.S3.PathStyle = v == "true"
		return nil
	}
	return fmt.Errorf("%q is neither true nor false", v)
}

func (s *Spec) setTimeout(v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 || d > time.Hour {
		return fmt.Errorf("%q is not a time up to 1h; write one such as 30s", v)
	}
	s.S3.Timeout = d
	return nil
}

// check asks the kinds themselves.
func (s *Spec) check() error {
	if s.Scheme != "s3" {
		return nil
	}
	return s.S3.Validate()
}

// needsPathStyle says whether a bucket's name cannot stand before the endpoint's.
func needsPathStyle(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return host == "localhost" || net.ParseIP(host) != nil
}
