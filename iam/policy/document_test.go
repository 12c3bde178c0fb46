package policy

import (
	"strings"
	"testing"
)

const example = `{"Version":"2012-10-17","Statement":[{"Sid":"PutOnceOnly","Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws:s3:::b/c/*"],"Condition":{"Null":{"s3:if-none-match":["false"]}}}]}`

func TestReadAndWritten(t *testing.T) {
	doc, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if doc.JSON() != example {
		t.Errorf("read and written:\n%s\nwas\n%s", doc.JSON(), example)
	}
	short := strings.NewReplacer(`["s3:PutObject"]`, `"s3:PutObject"`, `["arn:aws:s3:::b/c/*"]`, `"arn:aws:s3:::b/c/*"`, `["false"]`, `false`).Replace(example)
	short = strings.Replace(strings.Replace(short, `"Statement":[`, `"Statement":`, 1), `}]}`, `}}`, 1)
	same, err := Parse([]byte(short))
	if err != nil {
		t.Fatal(err)
	}
	if same.JSON() != example {
		t.Errorf("single values are other ones: %s", same.JSON())
	}
}

func TestRefusesWhatIsNotUnderstood(t *testing.T) {
	for name, change := range map[string][2]string{
		"version":   {"2012-10-17", "2008-10-17"},
		"field":     {`"Effect"`, `"Effekt"`},
		"effect":    {`"Allow"`, `"Maybe"`},
		"operator":  {`"Null"`, `"Nil"`},
		"set":       {`"Null"`, `"ForSomeValues:Null"`},
		"no action": {`"Action":["s3:PutObject"],`, ``},
		"resource":  {`"Resource":["arn:aws:s3:::b/c/*"],`, ``},
		"number":    {`["false"]`, `[{}]`},
		"behind":    {`}]}`, `}]} {}`},
		"principal": {`"Effect"`, `"Principal":"me","Effect"`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(example, change[0], change[1], 1)
			if text == example {
				t.Fatal("nothing was changed")
			}
			if _, err := Parse([]byte(text)); err == nil {
				t.Errorf("read %s", text)
			}
		})
	}
}

// FuzzParse: what is read is written so that it is read the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":{"AWS":"*"},"NotAction":"s3:*","NotResource":["a"]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse([]byte(doc.JSON()))
		if err != nil || again.JSON() != doc.JSON() {
			t.Errorf("%s is read again as %s, %v", doc.JSON(), again.JSON(), err)
		}
	})
}
