package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAWrongWallIsRefusedWithWhatToTry runs command lines about walls that are wrong before anything has begun.
func TestAWrongWallIsRefusedWithWhatToTry(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bindings.yaml")
	if err := os.WriteFile(file, []byte("bindigns: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, words := range map[string][]string{
		"share create orders":                                                {"--bucket", "s3://"},
		"share create orders --bucket orders":                                {"--bucket", "no scheme"},
		"share create o --bucket mem:// --role prod=arn":                     {"--role", "GROUP/ROLE=ARN"},
		"share create o --bucket mem:// --role prod/produec=arn":             {"--role", `did you mean "produce"?`},
		"share alter orders":                                                 {"nothing to change", "--region"},
		"group create prod --roles produec":                                  {`did you mean "produce"?`},
		"group create prod --requests -1":                                    {"--requests -1", "negative"},
		"group alter prod":                                                   {"nothing to change", "isthmus group alter --help"},
		"grant create --access fetch":                                        {"--group"},
		"grant create --group a --access read":                               {`--access "read"`, "produce or fetch"},
		"grant create --group a --access fetch --create-topics":              {"--create-topics", "--access produce"},
		"grant create --group a --access fetch --topic x --prefix y":         {"--topic or --prefix"},
		"grant create --group a --access fetch --until soon":                 {`--until "soon"`, "2026-12-31T18:00:00Z", "30d"},
		"grant create --group a --access fetch --until -8h":                  {"--until", "-8h"},
		"grant create --group a --access fetch --until 2020-01-01T00:00:00Z": {"2020-01-01", "has passed", "grant delete"},
		"grant alter x": {"nothing to change", "--until"},
		"binding create x --group a --roles fetch":         {"--arn", "--issuer and --subject", "--uri"},
		"binding create x --arn a --uri b --group a":       {"in one way"},
		"binding create x --unique-id AROA1 --group a":     {"--unique-id goes with --arn"},
		"binding create x --subject s --group a":           {"--issuer and --subject go together"},
		"binding create x --arn a":                         {"--group", "--admin"},
		"binding create x --arn a --group g":               {"--roles"},
		"binding create x --arn a --admin --roles fetch":   {"--group"},
		"binding create x --arn a --admin --max-agents -1": {"--max-agents -1"},
		"binding apply":            {"-f FILE"},
		"binding apply -f " + file: {file, "bindigns"},
		"session end 0":            {`"0"`, "isthmus session list"},
		"session end x":            {`"x"`, "isthmus session list"},
		"audit --since yesterday":  {`--since "yesterday"`, "30d"},
		"audit --limit -1":         {"--limit"},
	} {
		refusal(t, 2, strings.Fields(line), words...)
	}
}

// TestWallsCommandsHaveExamples looks at --help of every command about walls.
func TestWallsCommandsHaveExamples(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"share create", "share list", "share describe", "share alter", "share delete", "group create", "group list", "group describe", "group alter",
		"group delete", "group rotate", "grant create", "grant list", "grant describe", "grant alter", "grant delete", "binding create",
		"binding list", "binding describe", "binding alter", "binding delete", "binding apply", "session list", "session end", "audit",
	} {
		code, stdout, _ := command(t, append(strings.Fields(line), "--help")...)
		if code != 0 || !strings.Contains(stdout, "Examples:") || !strings.Contains(stdout, "isthmus "+line) {
			t.Errorf("isthmus %s --help: code %d, without an example:\n%s", line, code, stdout)
		}
	}
}
