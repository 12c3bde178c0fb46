package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/go-analyze/charts"
)

const (
	plotWidth   = 1000
	panelHeight = 260
)

// plot draws what a run saw, as SVG: requests, throughput and latency, second by second.
func (t *Throttled) plot() ([]byte, error) {
	panels := []panel{
		{
			title: "requests a second, throttled share", lines: []line{
				{"PUT sent", func(m *Moment) float64 { return m.Puts }},
				{"PUT refused", func(m *Moment) float64 { return m.PutRefused }},
				{"GET sent", func(m *Moment) float64 { return m.Gets }},
				{"GET refused", func(m *Moment) float64 { return m.GetRefused }},
				{fmt.Sprintf("let through: %d PUT", t.Writes), func(m *Moment) float64 { return mark(m, float64(t.Writes)) }},
			},
		},
		{
			title: "MB a second", lines: []line{
				{"throttled, in", func(m *Moment) float64 { return m.Short.InMB }},
				{"throttled, out", func(m *Moment) float64 { return m.Short.OutMB }},
				{"other, in", func(m *Moment) float64 { return m.Calm.InMB }},
				{"other, out", func(m *Moment) float64 { return m.Calm.OutMB }},
			},
		},
		{
			title: "p99 of a second, ms", lines: []line{
				{"throttled, produce", func(m *Moment) float64 { return m.Short.ProduceP99 }},
				{"throttled, end to end", func(m *Moment) float64 { return m.Short.EndToEndP99 }},
				{"other, produce", func(m *Moment) float64 { return m.Calm.ProduceP99 }},
				{"other, end to end", func(m *Moment) float64 { return m.Calm.EndToEndP99 }},
			},
		},
	}
	height := panelHeight * len(panels)
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: plotWidth, Height: height})
	p.FilledRect(0, 0, plotWidth, height, charts.ColorWhite, charts.ColorWhite, 0)
	for i, panel := range panels {
		box := charts.NewBox(0, i*panelHeight, plotWidth, (i+1)*panelHeight)
		if err := panel.draw(p.Child(charts.PainterBoxOption(box)), t.Moments); err != nil {
			return nil, fmt.Errorf("draw %q: %w", panel.title, err)
		}
	}
	svg, err := p.Bytes()
	if err != nil {
		return nil, fmt.Errorf("write the plot: %w", err)
	}
	return svg, nil
}

// mark is a value while the bucket throttles, and nothing else.
func mark(m *Moment, value float64) float64 {
	if m.Limited {
		return value
	}
	return charts.GetNullValue()
}

// panel is one chart of several lines over the seconds of a run.
type panel struct {
	title string
	lines []line
}

type line struct {
	name  string
	value func(*Moment) float64
}

func (c *panel) draw(p *charts.Painter, moments []Moment) error {
	values := make([][]float64, len(c.lines))
	names := make([]string, len(c.lines))
	for i, l := range c.lines {
		names[i] = l.name
		for j := range moments {
			values[i] = append(values[i], math.Round(l.value(&moments[j])*10)/10)
		}
	}
	labels := make([]string, len(moments))
	for j := range moments {
		labels[j] = strconv.Itoa(moments[j].Second)
	}
	return p.LineChart(charts.LineChartOption{
		Padding: charts.NewBoxEqual(12), SeriesList: charts.NewSeriesListLine(values), LineStrokeWidth: 1.5,
		Symbol: charts.Symbol{Shape: charts.SymbolNone},
		Title:  charts.TitleOption{Text: c.title, FontStyle: charts.NewFontStyleWithSize(11)},
		Legend: charts.LegendOption{SeriesNames: names, Offset: charts.OffsetStr{Left: "320"}, FontStyle: charts.NewFontStyleWithSize(9)},
		XAxis:  charts.XAxisOption{Labels: labels, LabelCount: 15, BoundaryGap: charts.Ptr(false)},
		YAxis:  []charts.YAxisOption{{Min: charts.Ptr(0.0)}},
	})
}
