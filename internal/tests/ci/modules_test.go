package ci

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// folders returns the folders below the root with a file of which match is true,
// without those of git, of tools and of fixtures.
func folders(t *testing.T, match func(file string) bool) []string {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") && file != root) {
			return filepath.SkipDir
		}
		relative, err := filepath.Rel(root, file)
		if err == nil && !d.IsDir() && match(filepath.ToSlash(relative)) {
			found[path.Dir(filepath.ToSlash(relative))] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(found))
}

// modules returns the folders of all modules but that of the root.
func modules(t *testing.T) []string {
	t.Helper()
	all := folders(t, func(file string) bool { return path.Base(file) == "go.mod" })
	return slices.DeleteFunc(all, func(folder string) bool { return folder == "." })
}

// group is one line of the matrix of the job modules.
type group struct {
	name, servers string
	folders       []string
	minutes       int
}

var groupLine = regexp.MustCompile(`^\s+- \{name: (\w+), folders: "([^"]+)", servers: "([^"]*)", minutes: (\d+)\}$`)

func groups(t *testing.T) []group {
	t.Helper()
	var list []group
	for _, l := range entries(t, ".github/workflows/check.yml", `folders: "`, groupLine) {
		list = append(list, group{l.words[0], l.words[2], strings.Fields(l.words[1]), l.minutes})
	}
	return list
}

// TestEveryModuleHasOneJob also has the packages that make test-local leaves out,
// because they need servers.
func TestEveryModuleHasOneJob(t *testing.T) {
	own := modules(t)
	jobs := map[string][]string{"internal/tests/browser": {"browser"}}
	// actions/runner-images, issue 12096: AppArmor has a profile for Chrome alone.
	if !strings.Contains(read(t, ".github/workflows/check.yml"), "run: make test-browser\n        env:\n          SOJOURN_BROWSER: google-chrome ") {
		t.Error("no job runs make test-browser with Chrome")
	}
	for _, b := range matrix(t) {
		if folder := "backends/" + b.backend; !slices.Contains(jobs[folder], "servers") {
			jobs[folder] = append(jobs[folder], "servers")
		}
	}
	page := read(t, "docs/ci.md")
	for _, g := range groups(t) {
		if g.minutes > limit {
			t.Errorf("%s is expected to take more than %d minutes: split it", g.name, limit)
		}
		row := fmt.Sprintf("| %s | %s | %s | %d |\n", g.name, strings.Join(g.folders, " "), orDash(g.servers), g.minutes)
		if !strings.Contains(page, row) {
			t.Errorf("docs/ci.md lacks the row %s", row)
		}
		for _, folder := range g.folders {
			jobs[folder] = append(jobs[folder], g.name)
		}
	}
	needServers := folders(t, func(file string) bool {
		return strings.HasSuffix(file, "_test.go") && strings.Contains(read(t, file), "\n\t\"github.com/sojourn-go/sojourn/conformance/containers\"\n")
	})
	inModule := func(folder string) bool {
		return slices.ContainsFunc(own, func(module string) bool { return folder == module || strings.HasPrefix(folder, module+"/") })
	}
	needServers = slices.DeleteFunc(needServers, inModule)
	if len(own) == 0 || len(needServers) == 0 {
		t.Fatalf("modules %v, packages with servers %v", own, needServers)
	}
	for _, folder := range slices.Concat(own, needServers) {
		if len(jobs[folder]) != 1 {
			t.Errorf("%s is tested by the jobs %v, want exactly one", folder, jobs[folder])
		}
		delete(jobs, folder)
	}
	for folder, names := range jobs { // what is left are backends of the root's module without a server
		if !strings.HasPrefix(folder, "backends/") {
			t.Errorf("the job %v tests %s, which is neither a module nor needs a server", names, folder)
		}
	}
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// described is a row of the first table of docs/ci.md.
type described struct {
	workflow, text string
	jobs, targets  []string
	minutes        int
}

var (
	quoted    = regexp.MustCompile("`([^`]+)`")
	makeCall  = regexp.MustCompile(`(?m)^\s*(?:- )?(?:run: )?make (?:--silent )?([a-z][a-z-]+)`)
	makeEntry = regexp.MustCompile(`\{target: ([a-z-]+),`)
	timeout   = regexp.MustCompile(`\n    timeout-minutes: (\d+)\n`)
)

func table(t *testing.T) []described {
	t.Helper()
	text, _, _ := strings.Cut(read(t, "docs/ci.md"), "\n## ")
	var rows []described
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| workflow") {
			continue
		}
		if len(cells) != 5 {
			t.Fatalf("docs/ci.md: a row has %d cells, want 5: %s", len(cells), line)
		}
		minutes, err := strconv.Atoi(strings.TrimSuffix(cells[4], " |"))
		if err != nil || minutes > limit {
			t.Errorf("docs/ci.md: the minutes are no number up to %d: %s", limit, line)
		}
		row := described{workflow: strings.TrimPrefix(cells[0], "| "), text: line, minutes: minutes}
		for _, m := range quoted.FindAllStringSubmatch(cells[2], -1) {
			row.jobs = append(row.jobs, m[1])
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[3], -1) {
			row.targets = append(row.targets, strings.TrimPrefix(m[1], "make "))
		}
		rows = append(rows, row)
	}
	return rows
}

// TestThePageHasEveryJob compares the first table of docs/ci.md with the
// workflows: their jobs, what each runs, and how long each may take.
func TestThePageHasEveryJob(t *testing.T) {
	rows := table(t)
	if len(rows) == 0 {
		t.Fatal("docs/ci.md has no table")
	}
	type key struct{ workflow, job string }
	targets, limits := map[key][]string{}, map[key]int{}
	for name, text := range workflows(t) {
		workflow := strings.TrimSuffix(path.Base(name), ".yml")
		if strings.Contains(name, "/actions/") || strings.Contains(text, "\n  workflow_call:") {
			continue // others' workflows run it
		}
		for _, j := range jobsOf(text) {
			k, body := key{workflow, j.name}, j.body
			targets[k], limits[k] = nil, limit
			for _, m := range slices.Concat(makeCall.FindAllStringSubmatch(body, -1), makeEntry.FindAllStringSubmatch(body, -1)) {
				targets[k] = append(targets[k], m[1])
			}
			if m := timeout.FindStringSubmatch(body); m != nil {
				limits[k], _ = strconv.Atoi(m[1]) // digits, as the pattern says
			}
		}
	}
	listed, runs := map[key]bool{}, map[key][]string{}
	for _, row := range rows {
		var all []string
		for _, job := range row.jobs {
			k := key{row.workflow, job}
			if _, there := targets[k]; !there {
				t.Errorf("the workflow %s has no job %s", row.workflow, job)
			}
			if row.minutes > limits[k] {
				t.Errorf("the job %s of %s may take %d minutes, and is expected to take %d", job, row.workflow, limits[k], row.minutes)
			}
			listed[k] = true
			runs[k] = append(runs[k], row.targets...)
			all = append(all, targets[k]...)
		}
		for _, target := range row.targets {
			if !slices.Contains(all, target) {
				t.Errorf("no job of this row runs make %s: %s", target, row.text)
			}
		}
	}
	for k, want := range targets {
		if !listed[k] {
			t.Errorf("docs/ci.md lacks the job %s of %s", k.job, k.workflow)
		}
		for _, target := range want {
			if !slices.Contains(runs[k], target) {
				t.Errorf("docs/ci.md does not say that %s of %s runs make %s", k.job, k.workflow, target)
			}
		}
	}
	for _, k := range []key{{"docs", "build"}, {"vuln", "govulncheck"}, {"check", "api"}, {"release", "check"}} {
		if want := map[string]string{"docs": "docs", "vuln": "vuln", "check": "api", "release": "release-check"}[k.workflow]; !slices.Contains(targets[k], want) {
			t.Errorf("the job %s of %s does not run make %s", k.job, k.workflow, want)
		}
	}
}

// TestThePagesAreDeployed follows what make docs writes to where it is deployed.
func TestThePagesAreDeployed(t *testing.T) {
	_, recipe, _ := strings.Cut(read(t, "Makefile"), "\ndocs:")
	recipe, _, _ = strings.Cut(recipe, "\n\n")
	text := read(t, ".github/workflows/docs.yml")
	for want, in := range map[string]string{
		"-check=site/html": recipe, "path: ./site/html": text, "actions/upload-pages-artifact@": text, "actions/deploy-pages@": text, "needs: build": text,
		"\n    if: github.repository == 'sojourn-go/sojourn'": text, // a fork's job would fail
	} {
		if !strings.Contains(in, want) {
			t.Errorf("%q is missing", want)
		}
	}
}
