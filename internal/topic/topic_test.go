package topic

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"orders": true, "Orders.v2_eu-1": true, "...": true, strings.Repeat("n", 249): true,
		"": false, ".": false, "..": false, "a b": false, "a/b": false, "größe": false, "a\xffb": false, strings.Repeat("n", 250): false,
	} {
		err := CheckName(name)
		if (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
		if err != nil && !utf8.ValidString(err.Error()) {
			t.Errorf("CheckName(%q) does not print: %q", name, err)
		}
	}
}
