// Package ci holds only tests. They compare the workflows with what docs/ci.md
// says about them, and check what keeps the workflows safe.
package ci

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../../.." // the module's folder

// limit is how many minutes a job may take. One of a release may take longer: it has
// no cache, and a tag without what it promises is worse.
const (
	limit        = 20
	releaseLimit = 60
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// workflows returns the texts of all workflows and actions by their paths.
func workflows(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{".github/workflows/*.yml", ".github/actions/*/action.yml"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, file := range files {
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			out[filepath.ToSlash(name)] = read(t, name)
		}
	}
	return out
}

// written is a job as a workflow has it.
type written struct{ name, body string }

var jobHead = regexp.MustCompile(`(?m)^  ([\w-]+):$`)

// jobsOf returns the jobs of a workflow in order; an action has none.
func jobsOf(workflow string) (jobs []written) {
	_, text, _ := strings.Cut(workflow, "\njobs:\n")
	heads := jobHead.FindAllStringSubmatchIndex(text, -1)
	for i, m := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		jobs = append(jobs, written{text[m[2]:m[3]], text[m[1]:end]})
	}
	return jobs
}

// job is one line of the matrix of servers.yml.
type job struct {
	backend, image, topology, part string
	minutes                        int
}

var matrixLine = regexp.MustCompile(`^\s+- \{backend: (\w+), image: "([^"]*)", topology: "(\w*)", part: "(\w*)", minutes: (\d+)\}$`)

func matrix(t *testing.T) []job {
	t.Helper()
	var jobs []job
	for _, l := range entries(t, ".github/workflows/servers.yml", "- {backend:", matrixLine) {
		jobs = append(jobs, job{l.words[0], l.words[1], l.words[2], l.words[3], l.minutes})
	}
	return jobs
}

// entry is a line of a workflow's matrix: its words, and its minutes at the end.
type entry struct {
	words   []string
	minutes int
}

// entries returns the lines with the mark, which all must have the form.
func entries(t *testing.T, file, mark string, form *regexp.Regexp) (list []entry) {
	t.Helper()
	for line := range strings.Lines(read(t, file)) {
		if !strings.Contains(line, mark) {
			continue
		}
		m := form.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			t.Fatalf("the line is not of the form that this test reads: %s", line)
		}
		last := len(m) - 1
		minutes, err := strconv.Atoi(m[last])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, entry{m[1:last], minutes})
	}
	return list
}

// TestEveryBackendHasAJob also keeps the documented matrix complete.
func TestEveryBackendHasAJob(t *testing.T) {
	jobs, page := matrix(t), read(t, "docs/ci.md")
	var rows []string
	for _, j := range jobs {
		if j.minutes > limit {
			t.Errorf("%+v is expected to take more than %d minutes: split it into parts", j, limit)
		}
		row := fmt.Sprintf("| %s | %s | %s | %s | %d |\n", j.backend, orDash(j.image), orDash(j.topology), orDash(j.part), j.minutes)
		rows = append(rows, row)
		if !strings.Contains(page, row) {
			t.Errorf("docs/ci.md lacks the row %s", row)
		}
	}
	if _, own, _ := strings.Cut(page, "\n## The servers\n"); strings.Count(own, "\n| ")-1 != len(rows) {
		t.Errorf("docs/ci.md has %d rows of servers, the matrix %d", strings.Count(own, "\n| ")-1, len(rows))
	}
	folders, err := filepath.Glob(filepath.Join(root, "backends/*/doc.go"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("no backends: %v", err)
	}
	for _, file := range folders {
		backend := filepath.Base(filepath.Dir(file))
		if !slices.ContainsFunc(jobs, func(j job) bool { return j.backend == backend }) {
			t.Errorf("the backend %s has no job in .github/workflows/servers.yml", backend)
		}
	}
	// A part without its sibling tests less than it seems.
	for _, j := range jobs {
		if sibling := map[string]string{"suites": "rest", "rest": "suites"}[j.part]; sibling != "" {
			if !slices.ContainsFunc(jobs, func(o job) bool {
				return o.backend == j.backend && o.image == j.image && o.topology == j.topology && o.part == sibling
			}) {
				t.Errorf("%+v has no job with the part %s", j, sibling)
			}
		}
	}
}

var (
	uses   = regexp.MustCompile(`(?m)^\s*(?:- )?uses: (\S+)(.*)$`)
	pinned = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
	runs   = regexp.MustCompile(`(?m)^(\s*)(?:- )?run: (.*)$`)
)

func TestActionsArePinned(t *testing.T) {
	versions := map[string]string{} // by action: one version in all workflows
	for name, text := range workflows(t) {
		for _, m := range uses.FindAllStringSubmatch(text, -1) {
			action, comment := m[1], strings.TrimSpace(m[2])
			if strings.HasPrefix(action, "./") {
				continue
			}
			if !pinned.MatchString(action) || !strings.HasPrefix(comment, "# v") {
				t.Errorf("%s: %s is not pinned by a hash with its version behind it", name, action)
				continue
			}
			repository, _, _ := strings.Cut(action, "@")
			if other := versions[repository]; other != "" && other != action+comment {
				t.Errorf("%s: %s is used in two versions", name, repository)
			}
			versions[repository] = action + comment
		}
	}
	if len(versions) == 0 {
		t.Error("no action was found")
	}
}

// TestWorkflowsGrantLittle checks that a workflow grants nothing, that each job
// says what it needs, and that no token is left in a work tree.
func TestWorkflowsGrantLittle(t *testing.T) {
	for name, text := range workflows(t) {
		checkouts, kept := strings.Count(text, "actions/checkout@"), strings.Count(text, "persist-credentials: false")
		if checkouts != kept {
			t.Errorf("%s: %d checkouts, %d without credentials", name, checkouts, kept)
		}
		if strings.Contains(name, "/actions/") {
			continue
		}
		if !strings.Contains(text, "\npermissions: {}\n") {
			t.Errorf("%s grants its jobs something", name)
		}
		if strings.Contains(text, "pull_request_target") || strings.Contains(text, "workflow_run") {
			t.Errorf("%s runs with rights on what strangers sent", name)
		}
		for _, j := range jobsOf(text) {
			body := j.body
			if !regexp.MustCompile(`\n    permissions:( \{\})?\n`).MatchString(body) {
				t.Errorf("%s: a job does not say what it may: %.60q", name, body)
			}
			if m := regexp.MustCompile(`\n    timeout-minutes: (\d+)\n`).FindStringSubmatch(body); m != nil {
				most := limit
				if strings.HasSuffix(name, "/release.yml") {
					most = releaseLimit
				}
				if n, err := strconv.Atoi(m[1]); err != nil || n > most {
					t.Errorf("%s: a job may take %s minutes, want %d at most", name, m[1], most)
				}
			} else if !strings.Contains(body, "\n    uses: ./") {
				t.Errorf("%s: a job has no timeout-minutes: %.60q", name, body)
			}
		}
	}
}

// TestOneJobStandsForAll: a rule for a branch names that job alone, because the
// names of the others change with each image.
func TestOneJobStandsForAll(t *testing.T) {
	for _, name := range []string{"check", "servers"} {
		jobs := jobsOf(read(t, ".github/workflows/"+name+".yml"))
		var others []string
		for _, j := range jobs[:len(jobs)-1] {
			others = append(others, j.name)
		}
		last := jobs[len(jobs)-1]
		if want := "\n    needs: [" + strings.Join(others, ", ") + "]\n    if: always()\n"; last.name != "all" || !strings.Contains(last.body, want) {
			t.Errorf("%s.yml: the last job is %s, want all with%s", name, last.name, want)
		}
	}
}

// TestServersAreOfficial: what stands in for a server on other machines proves less.
func TestServersAreOfficial(t *testing.T) {
	for _, name := range []string{"check", "servers", "nightly"} {
		if head, _, _ := strings.Cut(read(t, ".github/workflows/"+name+".yml"), "\njobs:\n"); !strings.Contains(head, "\n  SOJOURN_PACK: never ") {
			t.Errorf("%s.yml may run tests on packed images", name)
		}
	}
}

// TestScriptsHaveNoExpressions: what GitHub puts into a script before the shell
// reads it can be a command of a stranger's. Variables cannot.
func TestScriptsHaveNoExpressions(t *testing.T) {
	for name, text := range workflows(t) {
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			m := runs.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			script := []string{m[2]}
			for _, next := range lines[i+1:] {
				if next != "" && len(next)-len(strings.TrimLeft(next, " ")) <= len(m[1])+2 {
					break
				}
				script = append(script, next)
			}
			if strings.Contains(strings.Join(script, "\n"), "${{") {
				t.Errorf("%s: line %d has an expression in its script: pass it in env", name, i+1)
			}
		}
	}
}

// TestJobsAreTargets: what a job runs, everybody can run.
func TestJobsAreTargets(t *testing.T) {
	makefile := read(t, "Makefile")
	for name, text := range workflows(t) {
		for _, m := range regexp.MustCompile(`(?m)^\s*(?:- )?(?:run: )?make (?:--silent )?([a-z][a-z-]+)`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s: make %s does not exist", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`target: ([a-z-]+)`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s: make %s does not exist", name, m[1])
			}
		}
	}
}

// TestACheckoutHasTheSameBytes: on a runner with Windows git writes line ends of
// its own, unless the repository forbids it. Generated files would then be stale.
func TestACheckoutHasTheSameBytes(t *testing.T) {
	if !strings.Contains(read(t, ".gitattributes"), "\n* text=auto eol=lf\n") {
		t.Error(".gitattributes does not keep line ends")
	}
	out, err := exec.Command("git", "-C", root, "ls-files", "--eol").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		found++
		if fields[0] != "i/lf" && fields[0] != "i/-text" && fields[0] != "i/none" || slices.Contains(fields, "w/crlf") || slices.Contains(fields, "w/mixed") {
			t.Errorf("other line ends: %s", line)
		}
	}
	if found == 0 {
		t.Error("git lists no files")
	}
}
