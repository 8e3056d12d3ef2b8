package bench

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// colors are those of Okabe and Ito, which color-blind people can tell apart. The
// floor is gray, Sojourn the strongest.
var colors = map[string]color.RGBA{
	"Sojourn": {0xd5, 0x5e, 0x00, 0xff},
}

var (
	others = []color.RGBA{{0x00, 0x72, 0xb2, 0xff}, {0x56, 0xb4, 0xe9, 0xff}, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff}}
	gray   = color.RGBA{0x99, 0x99, 0x99, 0xff}
)

// bar is a height with its quartiles, by contestant and group.
type bar struct {
	name, group      string
	low, middle, top float64
}

// bars draws grouped bars with error bars into an SVG file.
func bars(path, title, axis string, all []bar) error {
	var names, groups []string
	for _, b := range all {
		if !slices.Contains(names, b.name) {
			names = append(names, b.name)
		}
		if !slices.Contains(groups, b.group) {
			groups = append(groups, b.group)
		}
	}
	p := plot.New()
	p.Title.Text, p.Y.Label.Text, p.BackgroundColor = title, axis, color.White
	p.Title.Padding, p.Title.TextStyle.Font.Size = vg.Points(8), vg.Points(13)
	p.Y.Min = 0
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding = vg.Points(2)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = nil, color.RGBA{0xdd, 0xdd, 0xdd, 0xff}
	p.Add(grid)
	width := vg.Points(min(18, 420/float64(len(names)*len(groups)+len(groups))))
	rest, tallest := 0, 0.0
	for n, name := range names {
		heights := make(plotter.Values, len(groups))
		spread := errorBars{XYs: make(plotter.XYs, len(groups)), YErrors: make(plotter.YErrors, len(groups))}
		for g, group := range groups {
			spread.XYs[g].X = float64(g)
			if at := slices.IndexFunc(all, func(b bar) bool { return b.name == name && b.group == group }); at >= 0 {
				b := all[at]
				heights[g], spread.XYs[g].Y = b.middle, b.middle
				spread.YErrors[g].Low, spread.YErrors[g].High = b.middle-b.low, b.top-b.middle
				tallest = max(tallest, b.top)
			}
		}
		chart, err := plotter.NewBarChart(heights, width)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		chart.LineStyle.Width = 0
		chart.Offset = (vg.Length(n) - vg.Length(len(names)-1)/2) * width
		switch fixed, ok := colors[name]; {
		case ok:
			chart.Color = fixed
		case n == 0:
			chart.Color = gray
		default:
			chart.Color = others[rest%len(others)]
			rest++
		}
		p.Add(chart, shifted{spread, chart.Offset})
		p.Legend.Add(name, chart)
	}
	p.NominalX(groups...)
	p.Y.Max = tallest * 1.25 // room for the legend
	canvas := vgsvg.New(17*vg.Centimeter, 9*vg.Centimeter)
	p.Draw(draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644) //nolint:gosec // it is published
}

type errorBars struct {
	plotter.XYs
	plotter.YErrors
}

// shifted draws error bars beside the middle of their group.
type shifted struct {
	errorBars
	by vg.Length
}

func (s shifted) Plot(c draw.Canvas, p *plot.Plot) {
	marks, err := plotter.NewYErrorBars(s.errorBars)
	if err != nil {
		return // no marks rather than wrong ones
	}
	marks.CapWidth = vg.Points(4)
	c.Min.X += s.by
	c.Max.X += s.by
	marks.Plot(c, p)
}
