package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/perf/benchmath"
)

func newCompare() *cobra.Command {
	return &cobra.Command{
		Use: "compare OLD NEW", Short: "Print the ratios of two results", Args: cobra.ExactArgs(2),
		Long: `compare prints, for each case and system that both results have, the median of each figure, the ratio, and whether
the difference is significant (Mann-Whitney's U test, as benchstat has it: ~ is "no difference seen"). Three rounds can show
none at its level of 0.05; run with --rounds 5 or more to compare commits.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := readResult(args[0])
			if err != nil {
				return err
			}
			after, err := readResult(args[1])
			if err != nil {
				return err
			}
			return compare(cmd.OutOrStdout(), before, after)
		},
	}
}

func readResult(file string) (*Result, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(r.Samples) == 0 {
		return nil, fmt.Errorf("%s holds no samples: name a result, not latest.json", file)
	}
	return &r, nil
}

// compared are the figures that two results are compared by.
var compared = []struct {
	name   string
	figure func(Sample) float64
}{
	{"MB/CPU-s", perCPU},
	{"MB/s", func(s Sample) float64 { return s.MBPerSecond }},
	{"produce p99 ms", func(s Sample) float64 { return s.ProduceP99Ms }},
	{"e2e p99 ms", func(s Sample) float64 { return s.EndToEndP99Ms }},
	{"resident MB", func(s Sample) float64 { return s.ResidentMB }},
	{"cents/GiB", func(s Sample) float64 { return s.CentsPerGiB }},
	{"placements/core-s", func(s Sample) float64 { return s.PlacementsPerCore }},
}

func compare(w io.Writer, before, after *Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "case\tsystem\tfigure\t%s\t%s\tratio\t\t\n", before.Commit, after.Commit)
	for _, name := range after.names() {
		for _, s := range []System{Isthmus, KafkaRF1, KafkaRF3} {
			for _, c := range compared {
				a, b := before.values(name, s, c.figure), after.values(name, s, c.figure)
				if len(a) == 0 || len(b) == 0 || before.Median(name, s, c.figure) == 0 {
					continue
				}
				x, y := before.Median(name, s, c.figure), after.Median(name, s, c.figure)
				test := benchmath.AssumeNothing.Compare(benchmath.NewSample(a, &benchmath.DefaultThresholds), benchmath.NewSample(b, &benchmath.DefaultThresholds))
				fmt.Fprintf(t, "%s\t%s\t%s\t%.4g\t%.4g\t%.2f\t%s\t\n", name, s, c.name, x, y, y/x, significance(test))
			}
		}
	}
	return t.Flush()
}

func significance(c benchmath.Comparison) string {
	if c.P <= c.Alpha {
		return fmt.Sprintf("p=%.3f n=%d+%d", c.P, c.N1, c.N2)
	}
	return fmt.Sprintf("~ p=%.3f n=%d+%d", c.P, c.N1, c.N2)
}
