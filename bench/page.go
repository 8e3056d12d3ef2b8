package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// table writes one table of a topic: a row for each contestant, a column for each
// operation. A cell is the median ratio to the floor with its quartiles, the round
// trips of a call, and the marks. The floor's row has its time, or its rate.
func table(b *strings.Builder, results []result, ops []string) {
	ops = slices.DeleteFunc(slices.Clone(ops), func(op string) bool {
		return !slices.ContainsFunc(results, func(r result) bool { return r.op == op })
	})
	fmt.Fprintf(b, "| contestant | %s |\n|---|%s\n", strings.Join(ops, " | "), strings.Repeat("--:|", len(ops)))
	var names []string
	for i := range results {
		if !slices.Contains(names, results[i].name) {
			names = append(names, results[i].name)
		}
	}
	for i, name := range names {
		row := []string{name}
		for _, op := range ops {
			at := slices.IndexFunc(results, func(r result) bool { return r.name == name && r.op == op })
			if at < 0 {
				row = append(row, "none")
				continue
			}
			row = append(row, entry(&results[at], i == 0))
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteString("\n")
}

func entry(r *result, floor bool) string {
	var text string
	switch {
	case floor && r.clients == 1:
		text = short(time.Duration(quantile(r.times, 0.5)))
	case floor:
		text = fmt.Sprintf("%s a second", thousands(r.rate()))
	default:
		text = fmt.Sprintf("**%.2f** %.2f–%.2f", quantile(r.ratios, 0.5), quantile(r.ratios, 0.25), quantile(r.ratios, 0.75))
	}
	if r.trips >= 0 {
		text += fmt.Sprintf(" (%s)", strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", r.trips), "0"), "."))
	}
	if r.marks != "" {
		text += " " + r.marks
	}
	return text
}

func short(d time.Duration) string {
	if d < 10*time.Microsecond {
		return fmt.Sprintf("%.2f µs", float64(d)/1e3)
	}
	return fmt.Sprintf("%.0f µs", float64(d)/1e3)
}

func thousands(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// group returns the results of one topic, number of clients and length of value.
func group(results []result, topic string, clients, value int) []result {
	return slices.DeleteFunc(slices.Clone(results), func(r result) bool {
		return r.topic != topic || r.clients != clients || r.value != value
	})
}

// manyTables writes the tables of counts, listings and sweeps.
func manyTables(b *strings.Builder, results []result) {
	var numbers []int
	for i := range results {
		if n := results[i].records; n > 0 && !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	if len(numbers) == 0 {
		return
	}
	b.WriteString("## Many records on Redis\n\nMilliseconds of one call, and its round trips. Each contestant has the server for itself. A listing returns the values. A sweep removes one record in a hundred, which has expired. " +
		"The others leave that to the server.\n\n| contestant | records | count | list | sweep |\n|---|--:|--:|--:|--:|\n")
	for _, n := range numbers {
		part := slices.DeleteFunc(slices.Clone(results), func(r result) bool { return r.records != n })
		var names []string
		for i := range part {
			if !slices.Contains(names, part[i].name) {
				names = append(names, part[i].name)
			}
		}
		slices.Sort(names) // they were measured in random order
		for _, name := range names {
			fmt.Fprintf(b, "| %s | %s |", name, thousands(float64(n)))
			for _, op := range scaleOps {
				text := "none"
				if at := slices.IndexFunc(part, func(r result) bool { return r.name == name && r.op == op }); at >= 0 {
					text = strings.TrimRight(fmt.Sprintf("%.2f (%.0f) %s", quantile(part[at].times, 0.5)/1e6, part[at].trips, part[at].marks), " ")
				}
				fmt.Fprintf(b, " %s |", text)
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
}

// legend explains the marks of records and of sessions.
const legend = `How to read it: a cell is the time of a call as a multiple of the floor's in the same round, the median of all rounds and its quartiles. Less is faster. In
brackets are round trips of a call, counted by a proxy in a run of its own. Below one, calls share them. The floor's row has its own time, or its calls of a second. "The floor again" is a
second instance: what it differs by is noise. The letters say what a contestant leaves out for its figure:

| mark | what is not guaranteed |
|---|---|
| u | an upsert: a create may replace a record, an update may bring one back |
| w | a touch writes the whole record, and can undo another write |
| x | records do not expire |
| p | reads the keys of the whole server |
| r | a session that was signed out meanwhile comes back |
| l | of two requests at the same time, one loses what it has changed |
| i | no idle timeout |
`

// warning is the first thing that a page says if the machine was not quiet.
func warning(env *environment) string {
	switch {
	case env.busy < 0:
		return "> It is not known whether the machine was quiet. Do not rely on these figures.\n\n"
	case env.busy > busyFrom:
		return fmt.Sprintf("> **The machine was busy**: other programs used %s of it before the run. Do not rely on these figures.\n\n", share(env.busy))
	}
	return ""
}
