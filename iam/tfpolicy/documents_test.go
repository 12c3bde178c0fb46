package tfpolicy

import (
	"os"
	"testing"
)

func TestDocumentsAreCurrent(t *testing.T) {
	want, err := Documents()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../../terraform/modules/policy/roles.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != string(want) {
		t.Error("terraform/modules/policy/roles.json is not what iam/policy says: go generate ./iam/tfpolicy")
	}
}
