package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/internal/cost"
	"github.com/isthmusdata/isthmus/internal/units"
)

func newCost() *cobra.Command {
	c := costCommand{w: cost.DefaultWorkload(), segment: 4 * units.MiB}
	c.retention, c.since = days(c.w.Retention), days(time.Hour)
	cmd := &cobra.Command{
		Use: "cost", Short: "Reckon what a load costs a month, here and elsewhere, or what a cluster has cost",
		Long: `cost prices a load line by line: on isthmus, on Apache Kafka in three zones (consumers reading from the nearest replica or not, with
tiered storage), and on WarpStream by its list prices; and what each way of letting another account read adds. With --control it prices
instead what a cluster did at its buckets in the last hour or month, for each group and share, beside what the model says for that load.

Prices are public list prices of the date that is printed. isthmus cost prices prints the file; --prices takes one of your own.
Every formula stands in docs/cost.md.`,
		Example: `  isthmus cost --write 100 --fanout 3 --retention 7d --zones 3 --region us-east-1
  isthmus cost --write 50 --read 200 --compression 4 --flush-interval 250ms --segment-size 8MiB --prices mine.yaml
  isthmus cost --control 127.0.0.1:7400 --since 30d`,
	}
	c.addFlags(cmd.Flags())
	asOperator(cmd, c.measure)
	measure := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return configured(func(cmd *cobra.Command) error {
			c.given = cmd.Flags().Changed
			if c.given("control") {
				return measure(cmd, args)
			}
			if c.given("since") {
				return usageError{errors.New("--since says over which time a cluster is measured: name the cluster with --control")}
			}
			return c.estimate(cmd, cmd.Flags().Lookup("output").Value.String() == "json")
		})(cmd, args)
	}
	cmd.AddCommand(newCostPrices())
	return cmd
}

func newCostPrices() *cobra.Command {
	return &cobra.Command{
		Use: "prices", Short: "Print the file of prices and figures that cost reckons with",
		Long:    "prices prints the embedded file. Change a copy and give it back whole with --prices; keys that are missing or unknown are refused by name.",
		Example: "  isthmus cost prices",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(cost.PricesFile())
			return err
		},
	}
}

// costCommand is what a command line says of a load.
type costCommand struct {
	w                cost.Workload
	fanout           float64
	retention, since days
	segment          units.Bytes
	prices           string

	given func(flag string) bool
}

func (c *costCommand) addFlags(f *pflag.FlagSet) {
	f.Float64Var(&c.w.Write, "write", c.w.Write, "what producers write, in MiB a second, as applications count it")
	f.Float64Var(&c.w.Read, "read", c.w.Read, "what all consumers together read, in MiB a second; default: --write times --fanout")
	f.Float64Var(&c.fanout, "fanout", 3, "how often each byte is read")
	f.Var(&c.retention, "retention", "how long it is kept, such as 36h or 7d")
	f.IntVar(&c.w.Zones, "zones", c.w.Zones, "availability zones")
	f.StringVar(&c.w.Region, "region", c.w.Region, "region, of those in the file of prices")
	f.Float64Var(&c.w.Compression, "compression", c.w.Compression, "how many bytes clients compress into one; 1 is not at all")
	f.DurationVar(&c.w.Flush, "flush-interval", c.w.Flush, "of produce agents")
	f.Var(&c.segment, "segment-size", "at which a segment is stored without waiting (--flush-bytes of agents)")
	f.IntVar(&c.w.Partitions, "partitions", c.w.Partitions, "partitions that are written to")
	f.IntVar(&c.w.Shares, "shares", c.w.Shares, "shares that they are spread over")
	f.IntVar(&c.w.ReadGroups, "read-groups", c.w.ReadGroups, "groups of fetch agents, each in a VPC or account of its own")
	f.BoolVar(&c.w.ZoneAware, "zone-aware", c.w.ZoneAware, "clients of isthmus find the agents of their zone (zone= in client.id)")
	f.Var(&c.since, "since", "with --control: how far back to look, up to 31d")
	f.StringVar(&c.prices, "prices", "", "YAML file of prices and figures to reckon with, whole, instead of the embedded one")
}

// days is a duration that is also read in days.
type days time.Duration

// String implements pflag.Value.
func (d *days) String() string {
	if day := 24 * time.Hour; time.Duration(*d) >= day && time.Duration(*d)%day == 0 {
		return strconv.FormatInt(int64(time.Duration(*d)/day), 10) + "d"
	}
	return time.Duration(*d).String()
}

// Type implements pflag.Value.
func (d *days) Type() string { return "duration" }

// Set implements pflag.Value.
func (d *days) Set(text string) error {
	span, err := time.ParseDuration(text)
	if n, isDays := strings.CutSuffix(text, "d"); isDays {
		var number float64
		number, err = strconv.ParseFloat(n, 64)
		if !(number >= 0 && number < 100_000) {
			err = strconv.ErrRange
		}
		span = time.Duration(number * 24 * float64(time.Hour))
	}
	if err != nil || span < 0 {
		return fmt.Errorf("%q is no duration: write it as 90m, 36h or 7d", text)
	}
	*d = days(span)
	return nil
}

func (c *costCommand) readPrices() (*cost.Prices, error) {
	if c.prices == "" {
		return cost.DefaultPrices()
	}
	file, err := os.ReadFile(c.prices)
	if err != nil {
		return nil, fmt.Errorf("--prices: %w", err)
	}
	p, err := cost.ParsePrices(file)
	if err != nil {
		return nil, usageError{fmt.Errorf("--prices %s: %w (print one that is whole with: isthmus cost prices)", c.prices, err)}
	}
	return p, nil
}

// workload is what the flags say. What is read follows from the fan-out, unless it is said.
func (c *costCommand) workload(warn io.Writer) cost.Workload {
	w := c.w
	w.Retention, w.SegmentMiB = time.Duration(c.retention), float64(c.segment)/float64(units.MiB)
	switch product := w.Write * c.fanout; {
	case !c.given("read"):
		w.Read = product
	case c.given("fanout") && product != w.Read:
		fmt.Fprintf(warn, "--read %v counts, all consumers together; --fanout %v would be %v\n", w.Read, c.fanout, product)
	}
	return w
}

// estimate prices the load that the flags describe.
func (c *costCommand) estimate(cmd *cobra.Command, asJSON bool) error {
	p, err := c.readPrices()
	if err != nil {
		return err
	}
	e, err := cost.Reckon(c.workload(cmd.ErrOrStderr()), p)
	if err != nil {
		return usageError{err}
	}
	o := &operator{out: cmd.OutOrStdout(), json: asJSON}
	if o.json {
		return o.print(e, "", nil)
	}
	return o.printEstimate(e)
}

func (o *operator) printEstimate(e *cost.Estimate) error {
	w := &e.Workload
	fmt.Fprintf(o.out, "%v MiB/s written, %v MiB/s read, kept %s, %d zones of %s, compressed %v:1. List prices of %s in %s, a month of 730 hours;\n"+
		"regions are not crossed. Formulas: docs/cost.md.\n", w.Write, w.Read, new(days(w.Retention)), w.Zones, w.Region, w.Compression, e.Date, e.Currency)
	for i := range e.Bills {
		if err := o.printBill(&e.Bills[i]); err != nil {
			return err
		}
	}
	fmt.Fprintln(o.out)
	if err := o.print(nil, strings.ToUpper(strings.Join(append(append([]string{"a month"}, cost.Kinds()...), "total", "cents a GiB"), "\t")), summary(e.Bills)); err != nil {
		return err
	}
	fmt.Fprintln(o.out, "\nRequests of isthmus:", cents(cost.RequestCents(&e.Bills[0], e.Written)), "cents a GiB written. All consumers in another account add:")
	fmt.Fprintln(o.out)
	var rows [][]any
	for i := range e.Ways {
		b := &e.Ways[i]
		rows = append(rows, []any{b.System, dollars(b.Total), cents(b.Cents), strings.Join(b.Notes, "; ")})
	}
	return o.print(nil, "WAY INTO ANOTHER ACCOUNT\tADDS A MONTH\tCENTS A GIB\t", rows)
}

func (o *operator) printBill(b *cost.Bill) error {
	fmt.Fprintf(o.out, "\n%s: %s a month, %s cents for each GiB written\n\n", b.System, dollars(b.Total), cents(b.Cents))
	var rows [][]any
	for _, l := range b.Lines {
		rows = append(rows, []any{l.Kind, l.Name, amount(l.Quantity), l.Unit, strconv.FormatFloat(l.Price, 'g', 4, 64), dollars(l.Month)})
	}
	if err := o.print(nil, "KIND\tLINE\tQUANTITY\tUNIT\tPRICE\tA MONTH", rows); err != nil {
		return err
	}
	for _, n := range b.Notes {
		fmt.Fprintln(o.out, "note:", n)
	}
	return nil
}

func summary(bills []cost.Bill) (rows [][]any) {
	for i := range bills {
		row := []any{bills[i].System}
		for _, kind := range cost.Kinds() {
			row = append(row, dollars(bills[i].Of(kind)))
		}
		rows = append(rows, append(row, dollars(bills[i].Total), cents(bills[i].Cents)))
	}
	return rows
}

func dollars(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

func cents(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }

func amount(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
