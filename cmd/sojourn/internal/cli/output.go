package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// line prints one object as a line of JSON.
func (a *app) line(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%s\n", data)
	return err
}

// say prints the object with --json, and else the text.
func (a *app) say(v any, format string, args ...any) error {
	if a.json {
		return a.line(v)
	}
	_, err := fmt.Fprintf(a.Out, format+"\n", args...)
	return err
}

// printable returns a text that is safe on a terminal: ids and labels come from
// strangers, and control characters could change what is shown.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// terminal returns the width of a terminal, and whether w is one.
func (a *app) terminal(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if n, bad := strconv.Atoi(a.Getenv("COLUMNS")); bad == nil && n > 0 {
		return n, true
	}
	return width, err == nil
}

// The colours of words that say how good something is.
const (
	green  = "32"
	yellow = "33"
	red    = "31"
	cyan   = "36"
)

// colour returns the text in a colour if the output is a terminal and NO_COLOR
// is not set.
func (a *app) colour(code, text string) string {
	if _, tty := a.terminal(a.Out); !tty || a.Getenv("NO_COLOR") != "" || a.Getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// table prints rows in columns. On a terminal the widest columns are cut to fit. Cells are printable texts.
type table struct {
	app    *app
	head   []string
	rows   [][]string
	paint  func(row []string, column int) string // a colour's code, or ""
	headed bool
}

const gap = 2 // spaces between two columns

// add adds a row. A cell that is empty is printed as a dash.
func (t *table) add(cells ...string) {
	row := make([]string, len(cells))
	for i, c := range cells {
		if row[i] = printable(c); c == "" {
			row[i] = "-"
		}
	}
	t.rows = append(t.rows, row)
}

// flush prints the rows that were added since the last flush.
func (t *table) flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	width, _ := t.app.terminal(t.app.Out)
	lines := t.rows
	if !t.headed {
		lines = append([][]string{t.head}, lines...)
		t.headed = true
	}
	widths := fit(lines, width)
	for n, row := range lines {
		var b strings.Builder
		for i, cell := range row {
			cell = cut(cell, widths[i])
			padding := widths[i] - utf8.RuneCountInString(cell) + gap
			if t.paint != nil && (n > 0 || len(lines) == len(t.rows)) {
				if code := t.paint(row, i); code != "" {
					cell = t.app.colour(code, cell)
				}
			}
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", padding))
			}
		}
		if _, err := fmt.Fprintln(t.app.Out, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	t.rows = t.rows[:0]
	return nil
}

// fit returns the width of each column, of which the widest give way until a row
// fits. Zero means any width.
func fit(rows [][]string, width int) []int {
	const least = 8
	widths := make([]int, len(rows[0]))
	sum := gap * (len(widths) - 1)
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, w := range widths {
		sum += w
	}
	for width > 0 && sum > width {
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= least {
			break
		}
		widths[widest]--
		sum--
	}
	return widths
}

// cut shortens a text to a number of characters.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// instant prints a time for people.
func instant(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// moment is a time in JSON: nil for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
