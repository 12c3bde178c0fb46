package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Version is the only version of the language.
const Version = "2012-10-17"

const maxDocument = 64 << 10 // bytes that are read

// Document is a policy.
type Document struct {
	Version   string
	Statement []Statement
}

// Statement allows or denies.
type Statement struct {
	Sid         string     `json:",omitempty"`
	Effect      string     // Allow or Deny
	Principal   *Principal `json:",omitempty"` // of policies of resources and of trust
	Action      Strings    `json:",omitempty"`
	NotAction   Strings    `json:",omitempty"`
	Resource    Strings    `json:",omitempty"`
	NotResource Strings    `json:",omitempty"`
	Condition   Conditions `json:",omitempty"`
}

// Conditions are values by operator and key. All of them must hold; of the values of a key, one.
type Conditions map[string]map[string]Strings

// Principal is whom a statement is about.
type Principal struct {
	Everybody bool // "*"
	AWS       Strings
	Federated Strings
	Service   Strings
}

// Strings are written as a list, and read from a list or a single value.
type Strings []string

// UnmarshalJSON reads a string, a bool, a number, or a list of such.
func (s *Strings) UnmarshalJSON(b []byte) error {
	var list []any
	var one any
	decode := func(v any) error {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		return d.Decode(v)
	}
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("[")) {
		if err := decode(&list); err != nil {
			return err
		}
	} else {
		if err := decode(&one); err != nil {
			return err
		}
		list = []any{one}
	}
	*s = make(Strings, 0, len(list))
	for _, v := range list {
		switch v := v.(type) {
		case string:
			*s = append(*s, v)
		case bool, json.Number:
			*s = append(*s, fmt.Sprint(v))
		default:
			return fmt.Errorf("%s is neither a string nor a list of strings", b)
		}
	}
	return nil
}

type principalFields struct {
	AWS       Strings `json:",omitempty"`
	Federated Strings `json:",omitempty"`
	Service   Strings `json:",omitempty"`
}

// MarshalJSON writes "*" or the lists.
func (p Principal) MarshalJSON() ([]byte, error) {
	if p.Everybody {
		return []byte(`"*"`), nil
	}
	return json.Marshal(principalFields{p.AWS, p.Federated, p.Service})
}

// UnmarshalJSON reads "*" or the lists.
func (p *Principal) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		if text != "*" {
			return fmt.Errorf("principal %q: write \"*\" or a kind of principals", text)
		}
		*p = Principal{Everybody: true}
		return nil
	}
	var f principalFields
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return err
	}
	*p = Principal{AWS: f.AWS, Federated: f.Federated, Service: f.Service}
	return nil
}

// JSON is the document in as few bytes as possible.
func (d Document) JSON() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		panic(err) // strings, lists and maps of strings
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Indent is the document for people.
func (d Document) Indent() string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(d.JSON()), "", "  "); err != nil {
		panic(err) // it was just written
	}
	return b.String()
}

// Parse reads a document and refuses what it does not understand.
func Parse(b []byte) (Document, error) {
	if len(b) > maxDocument {
		return Document{}, fmt.Errorf("policy of %d bytes, more than %d", len(b), maxDocument)
	}
	var raw struct {
		Version   string
		Statement json.RawMessage
	}
	if err := strictly(b, &raw); err != nil {
		return Document{}, fmt.Errorf("read policy: %w", err)
	}
	doc := Document{Version: raw.Version}
	if bytes.HasPrefix(raw.Statement, []byte("{")) {
		raw.Statement = slices.Concat([]byte("["), raw.Statement, []byte("]"))
	}
	if len(raw.Statement) == 0 {
		return Document{}, errors.New("read policy: it has no statement")
	}
	if err := strictly(raw.Statement, &doc.Statement); err != nil {
		return Document{}, fmt.Errorf("read policy: %w", err)
	}
	if err := doc.Validate(); err != nil {
		return Document{}, fmt.Errorf("read policy: %w", err)
	}
	return doc, nil
}

func strictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind it")
	}
	return nil
}

// Validate reports every fault at once.
func (d Document) Validate() error {
	var faults []error
	if d.Version != Version {
		faults = append(faults, fmt.Errorf("version %q: write %s", d.Version, Version))
	}
	if len(d.Statement) == 0 {
		faults = append(faults, errors.New("no statement"))
	}
	for i, s := range d.Statement {
		if err := s.validate(); err != nil {
			faults = append(faults, fmt.Errorf("statement %d %s: %w", i+1, s.Sid, err))
		}
	}
	return errors.Join(faults...)
}

func (s Statement) validate() error {
	var faults []error
	if s.Effect != "Allow" && s.Effect != "Deny" {
		faults = append(faults, fmt.Errorf("effect %q: write Allow or Deny", s.Effect))
	}
	if (len(s.Action) == 0) == (len(s.NotAction) == 0) {
		faults = append(faults, errors.New("write one of Action and NotAction"))
	}
	if len(s.Resource) > 0 && len(s.NotResource) > 0 || s.Principal == nil && len(s.Resource) == 0 && len(s.NotResource) == 0 {
		faults = append(faults, errors.New("write one of Resource and NotResource"))
	}
	for operator, keys := range s.Condition {
		if !KnownOperator(operator) {
			faults = append(faults, fmt.Errorf("unknown operator %q", operator))
		}
		if len(keys) == 0 {
			faults = append(faults, fmt.Errorf("operator %s without keys", operator))
		}
	}
	return errors.Join(faults...)
}

// Operators are those of conditions, without what may stand before and after them.
var operators = []string{
	"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
	"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
	"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
	"Bool", "IpAddress", "NotIpAddress", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Null",
}

// SplitOperator takes an operator apart: ForAllValues or ForAnyValue before it, and IfExists behind it.
func SplitOperator(s string) (set, operator string, ifExists bool) {
	if before, after, ok := strings.Cut(s, ":"); ok {
		set, s = before, after
	}
	operator, ifExists = strings.CutSuffix(s, "IfExists")
	return set, operator, ifExists
}

// KnownOperator says whether a condition's operator is one.
func KnownOperator(s string) bool {
	set, operator, ifExists := SplitOperator(s)
	if set != "" && set != "ForAllValues" && set != "ForAnyValue" {
		return false
	}
	return slices.Contains(operators, operator) && !(ifExists && operator == "Null")
}
