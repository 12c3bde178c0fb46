package eval

import (
	"testing"

	"github.com/isthmusdata/isthmus/iam/policy"
)

func parse(t *testing.T, statements string) policy.Document {
	t.Helper()
	doc, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statements + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestConditions holds each operator against values that are there, others, and none.
func TestConditions(t *testing.T) {
	for _, c := range []struct {
		condition      string
		yes, no        string // values of k:k
		absent         bool   // it holds without one
		yesAll, notAll []string
	}{
		{condition: `"StringEquals":{"k:k":["a","b"]}`, yes: "b", no: "B"},
		{condition: `"StringNotEquals":{"k:k":["a","b"]}`, yes: "c", no: "a", absent: true},
		{condition: `"StringEqualsIfExists":{"K:K":["a"]}`, yes: "a", no: "b", absent: true},
		{condition: `"StringNotEqualsIfExists":{"k:k":["a"]}`, yes: "b", no: "a", absent: true},
		{condition: `"StringEqualsIgnoreCase":{"k:k":["aB"]}`, yes: "Ab", no: "a"},
		{condition: `"StringLike":{"k:k":["a*c?"]}`, yes: "abbbcd", no: "abbbc"},
		{condition: `"StringNotLike":{"k:k":["a*"]}`, yes: "b", no: "abc", absent: true},
		{condition: `"Bool":{"k:k":"true"}`, yes: "true", no: "false"},
		{condition: `"Null":{"k:k":"false"}`, yes: "x"},
		{condition: `"Null":{"k:k":"true"}`, no: "x", absent: true},
		{condition: `"NumericLessThan":{"k:k":"1.2"}`, yes: "1.1", no: "1.2"},
		{condition: `"NumericLessThanEquals":{"k:k":300}`, yes: "300", no: "301"},
		{condition: `"NumericGreaterThan":{"k:k":"5"}`, yes: "6", no: "x"},
		{condition: `"DateLessThan":{"k:k":"2026-01-02T03:04:05Z"}`, yes: "2026-01-02T03:04:04Z", no: "2026-01-02T03:04:05Z"},
		{condition: `"DateGreaterThan":{"k:k":"2026-01-02"}`, yes: "1798761600", no: "2026-01-01T00:00:00Z"},
		{condition: `"IpAddress":{"k:k":"10.0.0.0/8"}`, yes: "10.1.2.3", no: "11.0.0.1"},
		{condition: `"NotIpAddress":{"k:k":"10.0.0.0/8"}`, yes: "11.0.0.1", no: "10.0.0.1", absent: true},
		{condition: `"ArnLike":{"k:k":"arn:aws:iam::*:role/a*"}`, yes: "arn:aws:iam::1:role/ab", no: "arn:aws:iam::1:x:role/ab"},
		{condition: `"ArnNotEquals":{"k:k":"arn:aws:iam::1:role/a"}`, yes: "arn:aws:iam::1:role/b", no: "arn:aws:iam::1:role/a", absent: true},
		{condition: `"ForAllValues:StringEquals":{"k:k":["a","b"]}`, yes: "a", no: "c", absent: true, yesAll: []string{"a", "b"}, notAll: []string{"a", "c"}},
		{condition: `"ForAnyValue:StringEquals":{"k:k":["a"]}`, yes: "a", no: "c", yesAll: []string{"a", "c"}, notAll: []string{"c", "d"}},
		{condition: `"ForAnyValue:StringNotEquals":{"k:k":["a"]}`, yes: "c", no: "a", yesAll: []string{"a", "c"}, notAll: []string{"a", "a"}},
		{condition: `"StringEquals":{"k:k":"${k:other}"}`, yes: "value", no: "${k:other}"},
		{condition: `"StringEquals":{"k:k":"${k:gone}"}`, no: "${k:gone}"},
	} {
		t.Run(c.condition, func(t *testing.T) {
			doc := parse(t, `{"Effect":"Allow","Action":"a:a","Resource":"*","Condition":{`+c.condition+`}}`)
			check := func(want bool, values ...string) {
				t.Helper()
				context := map[string][]string{"k:other": {"value"}}
				if len(values) > 0 {
					context["k:k"] = values
				}
				if got := Evaluate(Set{Identity: []policy.Document{doc}}, Request{Action: "a:a", Resource: "r", Context: context}); got.Allowed() != want {
					t.Errorf("%q: %v", values, got)
				}
			}
			if c.yes != "" {
				check(true, c.yes)
			}
			if c.no != "" {
				check(false, c.no)
			}
			check(c.absent)
			if c.yesAll != nil {
				check(true, c.yesAll...)
				check(false, c.notAll...)
			}
		})
	}
}

// TestUnreadableDenies: what cannot be compared allows nothing, and does not lift a denial.
func TestUnreadableDenies(t *testing.T) {
	request := Request{Action: "a:a", Resource: "r", Context: map[string][]string{"k:k": {"ten"}}}
	allow := parse(t, `{"Effect":"Allow","Action":"*","Resource":"*"}`)
	unreadable := parse(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericNotEquals":{"k:k":"5"}}}`)
	deny := parse(t, `{"Sid":"No","Effect":"Deny","Action":"*","Resource":"*","Condition":{"NumericLessThan":{"k:k":"5"}}}`)
	if d := Evaluate(Set{Identity: []policy.Document{unreadable}}, request); d.Allowed() {
		t.Error(d)
	}
	if d := Evaluate(Set{Identity: []policy.Document{allow, deny}}, request); !d.Explicit() || d.Sid != "No" {
		t.Error(d)
	}
	variable := parse(t, `{"Effect":"Deny","Action":"*","Resource":"x/${k:gone}"}`)
	if d := Evaluate(Set{Identity: []policy.Document{allow, variable}}, request); !d.Explicit() {
		t.Error(d)
	}
}

func TestWhoHasASay(t *testing.T) {
	const session = "arn:aws:sts::111111111111:assumed-role/r/s"
	allow := parse(t, `{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/${aws:username}/*"}`)
	other := parse(t, `{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}`)
	bucket := func(principal, effect string) policy.Document {
		return parse(t, `{"Sid":"B","Effect":"`+effect+`","Principal":`+principal+`,"Action":"S3:getobject","Resource":"arn:aws:s3:::b/*"}`)
	}
	request := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/u*/k", Context: map[string][]string{"aws:username": {"u*"}}}
	for _, c := range []struct {
		name string
		set  Set
		want Effect
	}{
		{"nobody", Set{}, ImplicitDeny},
		{"identity", Set{Identity: []policy.Document{allow}}, Allow},
		{"another action", Set{Identity: []policy.Document{other}}, ImplicitDeny},
		{"session narrows", Set{Identity: []policy.Document{allow}, Session: &other}, ImplicitDeny},
		{"session agrees", Set{Identity: []policy.Document{allow}, Session: &allow}, Allow},
		{"session alone", Set{Session: &allow}, ImplicitDeny},
		{"bucket, role", Set{Resource: []policy.Document{bucket(`{"AWS":"arn:aws:iam::111111111111:role/r"}`, "Allow")}}, Allow},
		{"bucket, session", Set{Resource: []policy.Document{bucket(`{"AWS":"`+session+`"}`, "Allow")}}, Allow},
		{"bucket, account", Set{Resource: []policy.Document{bucket(`{"AWS":"arn:aws:iam::111111111111:root"}`, "Allow")}}, Allow},
		{"bucket, number", Set{Resource: []policy.Document{bucket(`{"AWS":"111111111111"}`, "Allow")}}, Allow},
		{"bucket, everybody", Set{Resource: []policy.Document{bucket(`"*"`, "Allow")}}, Allow},
		{"bucket, another account", Set{Resource: []policy.Document{bucket(`{"AWS":"222222222222"}`, "Allow")}}, ImplicitDeny},
		{"bucket, role of the name elsewhere", Set{Resource: []policy.Document{bucket(`{"AWS":"arn:aws:iam::222222222222:role/r"}`, "Allow")}}, ImplicitDeny},
		{"bucket denies", Set{Identity: []policy.Document{allow}, Resource: []policy.Document{bucket(`"*"`, "Deny")}}, ExplicitDeny},
		{"bucket denies others", Set{Identity: []policy.Document{allow}, Resource: []policy.Document{bucket(`{"AWS":"222222222222"}`, "Deny")}}, Allow},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.set.Principal = session
			if d := Evaluate(c.set, request); d.Effect != c.want {
				t.Errorf("%v, want %v", d, c.want)
			}
		})
	}
	request.Resource = "arn:aws:s3:::b/ux/k"
	if d := Evaluate(Set{Identity: []policy.Document{allow}}, request); d.Allowed() {
		t.Errorf("a star in a name is any name: %v", d)
	}
}

func TestTrusts(t *testing.T) {
	trust := parse(t, `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::222222222222:root"},
		"Condition":{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::222222222222:role/agents"},"StringEquals":{"sts:ExternalId":"c/g"},"StringLike":{"sts:RoleSessionName":"g-*"}}}`)
	good := func() map[string][]string {
		return map[string][]string{
			"aws:PrincipalArn": {"arn:aws:iam::222222222222:role/agents"}, "aws:PrincipalAccount": {"222222222222"}, "sts:ExternalId": {"c/g"}, "sts:RoleSessionName": {"g-1"},
		}
	}
	ask := func(change func(map[string][]string)) Decision {
		context := good()
		change(context)
		return Trusts(trust, Request{Action: "sts:AssumeRole", Resource: "arn:aws:iam::111111111111:role/r", Context: context})
	}
	if d := ask(func(map[string][]string) {}); !d.Allowed() {
		t.Error(d)
	}
	for key, value := range map[string]string{
		"aws:PrincipalArn": "arn:aws:iam::222222222222:role/others", "aws:PrincipalAccount": "333333333333", "sts:ExternalId": "c/h", "sts:RoleSessionName": "h-1",
	} {
		if d := ask(func(c map[string][]string) { c[key] = []string{value} }); d.Allowed() {
			t.Errorf("%s=%s: %v", key, value, d)
		}
		if d := ask(func(c map[string][]string) { delete(c, key) }); d.Allowed() {
			t.Errorf("without %s: %v", key, d)
		}
	}
}

// FuzzGlob: a pattern without wildcards is itself, and a star before and behind it finds it anywhere.
func FuzzGlob(f *testing.F) {
	f.Add("a*b?", "aXXbY")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if glob(pattern, s) && !glob(pattern+"*", s+"x") {
			t.Errorf("%q matches %q, and not what is longer", pattern, s)
		}
		if unquote(quote(s)) != s || !glob(quote(s), s) || !glob("*"+quote(s)+"*", "x"+s+"y") || !glob("*", s) {
			t.Errorf("%q does not match itself", s)
		}
	})
}
