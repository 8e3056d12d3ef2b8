package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// report is all that a run has found.
type report struct {
	env      *environment
	results  []result
	memories []memory
	sessions int      // that memories signed in
	failed   []string // parts without figures
}

// publish writes the page, the plots and the raw figures into a folder.
func (r *report) publish(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // it is published
		return err
	}
	raw, err := os.Create(filepath.Join(folder, "raw.txt"))
	if err != nil {
		return err
	}
	return errors.Join(
		writeRaw(raw, r.env, r.results), raw.Close(),
		os.WriteFile(filepath.Join(folder, "README.md"), []byte(r.page()), 0o644), //nolint:gosec // it is published
		plots(folder, r.results),
	)
}

// page returns the whole page.
func (r *report) page() string {
	var b strings.Builder
	b.WriteString("# Measured beside others\n\n<!-- make bench-peers writes this page -->\n\n")
	b.WriteString(warning(r.env))
	if len(r.failed) > 0 {
		fmt.Fprintf(&b, "> Parts failed and have no figures, or not all: %s.\n\n", strings.Join(r.failed, ", "))
	}
	fmt.Fprintf(&b, "%s, %s, %d cores, %s. The servers run on the same machine: %s.\n\n%s.\n\n", r.env.date, r.env.cpu, runtime.NumCPU(), runtime.GOOS, strings.Join(r.env.servers, ", "), r.env.versions)
	b.WriteString(legend + "\n")
	b.WriteString("benchstat reads the same figures, a line for each round: `benchstat -col /side raw.txt`. They are in raw.txt beside this page.\n\n")
	for _, t := range topics {
		t.page(&b, r.results)
	}
	manyTables(&b, r.results)
	memoryTables(&b, r.memories, r.sessions)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// The marks in the README.
const (
	readmeBegin = "<!-- figures: make bench-peers -->\n"
	readmeEnd   = "<!-- end of figures -->\n"
)

// short returns what the README shows: one plot and five lines.
func (r *report) short() string {
	var b strings.Builder
	b.WriteString(warning(r.env))
	b.WriteString("![Session requests a second on Redis, with 256 clients](docs/bench/sessions-256.svg)\n\n")
	const clients = 256
	rate := func(topic, op, name string, value int) string {
		for i := range r.results {
			if x := &r.results[i]; x.topic == topic && x.op == op && x.name == name && x.clients == clients && x.value == value {
				return thousands(x.rate())
			}
		}
		return "not measured"
	}
	fmt.Fprintf(&b, "| a second, 256 clients, on %d cores with the server | Sojourn | scs, idle timeout | by hand |\n|---|--:|--:|--:|\n", runtime.NumCPU())
	for _, op := range []string{"read-only", "write", "renew"} {
		fmt.Fprintf(&b, "| session requests: %s | %s | %s | %s |\n", op, rate("sessions", op, "Sojourn", 0), rate("sessions", op, "scs, idle timeout", 0), rate("sessions", op, "by hand on go-redis", 0))
	}
	for _, op := range []string{"get", "update"} {
		fmt.Fprintf(&b, "| records of 200 bytes: %s | %s | %s | %s |\n", op, rate("redis", op, "Sojourn", 200), rate("redis", op, "scs goredisstore", 200), rate("redis", op, "bare go-redis", 200))
	}
	b.WriteString("\n[docs/bench](docs/bench/README.md) has all of it: other peers, one client, long values, round trips, memory, and what each contestant leaves out for its figure.\n")
	return b.String()
}

// topic is a chapter of the page.
type topic struct {
	name, title, text string
	ops               []string
}

var topics = []topic{
	{"redis", "Records on Redis", "Values are bytes, so nobody pays for an encoding. Everybody has go-redis with its defaults.", recordOps},
	{"sessions", "Session requests on Redis", "One request through the handler, in process: six keys of text in a session. scs hashes its ids. \"By hand\" is a handler with conditional writes, and no idle timeout.", sessionOps},
	{"http", "Session requests through net/http", "The same programs, each behind a server of net/http on loopback. Every client keeps its connection and does no more than it must. Clients, server and store share the machine.", servedOps},
	{"mongo", "Records on MongoDB", "The floor makes the same conditional statements, with a revision and an expiry in each document. docstore has the driver's version 1.", recordOps},
	{"dynamodb", "Records on DynamoDB", "The floor makes the same conditional requests. Reads are consistent.", recordOps},
}

func (t *topic) page(b *strings.Builder, results []result) {
	begun := false
	for _, value := range []int{0, 200, 4 << 10, 100 << 10} {
		for _, clients := range []int{1, 16, 256} {
			part := group(results, t.name, clients, value)
			if len(part) == 0 {
				continue
			}
			if !begun {
				fmt.Fprintf(b, "## %s\n\n%s\n\n", t.title, t.text)
				begun = true
			}
			title := fmt.Sprintf("%d clients", clients)
			if clients == 1 {
				title = "one client"
			}
			if value > 0 {
				title += ", values of " + size(value)
			}
			fmt.Fprintf(b, "### %s: %s\n\n", t.title, title)
			table(b, part, t.ops)
		}
	}
}

func size(n int) string {
	if n >= 1<<10 {
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// plots draws what a reader wants to see first: the rates under load.
func plots(folder string, results []result) error {
	var err error
	for _, clients := range []int{1, 16, 256} {
		for _, t := range topics {
			value := 200
			if t.name == "sessions" || t.name == "http" {
				value = 0
			}
			part := group(results, t.name, clients, value)
			if len(part) == 0 {
				continue
			}
			var all []bar
			for i := range part {
				r := &part[i]
				if r.name == "the floor again" {
					continue
				}
				all = append(all, bar{
					name: r.name, group: r.op,
					low: 1e6 / quantile(r.times, 0.75), middle: r.rate() / 1000, top: 1e6 / quantile(r.times, 0.25),
				})
			}
			title := fmt.Sprintf("%s, %d clients", t.title, clients)
			if clients == 1 {
				title = t.title + ", one client"
			}
			err = errors.Join(err, bars(filepath.Join(folder, fmt.Sprintf("%s-%d.svg", t.name, clients)), title, "thousands a second", all))
		}
	}
	return err
}
