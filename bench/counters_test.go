package main

import (
	"strings"
	"testing"
)

func TestCounters(t *testing.T) {
	c := Counters{}
	for _, text := range []string{"# HELP a b\na{x=\"1\",y=\"2\"} 3\na{x=\"2\",y=\"2\"} 4\na_more 100\nb 1e3\n", "b 1\na{x=\"1\",y=\"2\"} 0.5\n"} {
		if err := c.add(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []struct {
		sum    float64
		name   string
		labels []string
	}{
		{7.5, "a", nil}, {3.5, "a", []string{`x="1"`}}, {7.5, "a", []string{`y="2"`}}, {0, "a", []string{`x="1"`, `y="1"`}}, {1001, "b", nil}, {100, "a_more", nil},
	} {
		if got := c.Sum(want.name, want.labels...); got != want.sum {
			t.Errorf("%s %v: %v, want %v", want.name, want.labels, got, want.sum)
		}
	}
	if err := c.add(strings.NewReader("a x\n")); err == nil {
		t.Error("nonsense was read")
	}
}
