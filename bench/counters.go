package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Counters are the sums of all metrics of some processes, by name and labels as they are written.
type Counters map[string]float64

// counters reads the metrics of agents.
func counters(ctx context.Context, agents []*Agent) (Counters, error) {
	sums := Counters{}
	for _, a := range agents {
		if err := a.read(ctx, sums); err != nil {
			return nil, fmt.Errorf("read the metrics of %s: %w", a.name, err)
		}
	}
	return sums, nil
}

func (p *process) read(ctx context.Context, sums Counters) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+"/metrics", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", answer.Status)
	}
	return sums.add(answer.Body)
}

// add reads the text format of Prometheus: a name, perhaps with labels, and a value a line.
func (c Counters) add(text io.Reader) error {
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
		c[line[:at]] += value
	}
	return lines.Err()
}

// Sum adds up a metric over those of its series that have all the labels, each written name="value".
func (c Counters) Sum(name string, labels ...string) (sum float64) {
	for series, value := range c {
		if series != name && !strings.HasPrefix(series, name+"{") {
			continue
		}
		fits := true
		for _, label := range labels {
			fits = fits && strings.Contains(series, label)
		}
		if fits {
			sum += value
		}
	}
	return sum
}
