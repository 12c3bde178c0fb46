// Command generate writes the documents of the Terraform module policy into the file that is named.
package main

import (
	"fmt"
	"os"

	"github.com/isthmusdata/isthmus/iam/tfpolicy"
)

func main() {
	text, err := tfpolicy.Documents()
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}
