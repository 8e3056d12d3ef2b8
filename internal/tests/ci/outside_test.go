package ci

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// outsiders are the files of a repository with another backend, and a docker that
// starts nothing: a server at 127.0.0.1:4321, or none if DIES is set. It is ready
// when it is asked for the third time.
var outsiders = map[string]string{
	"go.mod":  "module example.org/mine\n\ngo 1.26.0\n\nrequire github.com/sojourn-go/sojourn v0.0.0\n\nreplace github.com/sojourn-go/sojourn => ROOT\n",
	"mine.go": "package mine\n\nimport _ \"github.com/sojourn-go/sojourn/model\"\n",
	"mine_test.go": `package mine

import (
	"os"
	"testing"
)

func TestServer(t *testing.T) {
	if os.Getenv("SOJOURN_SERVER_ADDR") != "127.0.0.1:4321" {
		t.Error("no server")
	}
}

func TestFails(t *testing.T) { t.Error("as it should") }
`,
	"bin/docker": `#!/bin/sh
echo "docker $*" >>"$TOP/calls"
case $1 in
run) echo box ;;
exec) [ -z "$NEVER" ] && [ "$(grep -c '^docker exec ' "$TOP/calls")" = 3 ] ;;
port) [ -z "$DIES" ] && echo 127.0.0.1:4321 ;;
logs) echo "what the server said" ;;
esac
`,
	"bin/sleep": "#!/bin/sh\n",
}

// outsider makes such a repository with a vendor folder, and returns what runs a
// script in it. The output has the calls of docker at its end.
func outsider(t *testing.T) func(script string, env ...string) (string, error) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the workflow and the action run on Linux")
	}
	module, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), []byte(read(t, "go.sum")), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range outsiders {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "ROOT", module)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(script string, env ...string) (string, error) {
		// As GitHub calls a script of a job with shell: bash.
		cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"), "GOFLAGS=", "GOWORK=off",
			"TOP="+dir, "GITHUB_ENV=env", "GITHUB_OUTPUT=output", "GITHUB_STEP_SUMMARY=", "ACTION="+filepath.Join(module, ".github/actions/suite/suite.sh"))
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		calls, _ := os.ReadFile(filepath.Join(dir, "calls")) // absent if there was none
		return string(out) + string(calls), err
	}
	if out, err := run("go mod vendor && test -d vendor", "GOFLAGS=-mod=mod", "GOPROXY=off"); err != nil {
		t.Fatal(err, out)
	}
	return run
}

// steps returns the scripts of the workflow for others by the names of their
// steps.
func steps(t *testing.T) map[string]string {
	t.Helper()
	scripts := map[string]string{}
	for step := range strings.SplitSeq(read(t, ".github/workflows/backend.yml"), "\n      - name: ") {
		name, body, _ := strings.Cut(step, "\n")
		if _, script, found := strings.Cut(body, "\n        run: |\n"); found {
			script, _, _ = strings.Cut(script, "\n        env:\n")
			scripts[name] = regexp.MustCompile(`(?m)^ {10}`).ReplaceAllString(script, "")
		}
	}
	return scripts
}

// TestOthersRunTheirTests runs the workflow and the action as a repository that
// has a vendor folder does.
func TestOthersRunTheirTests(t *testing.T) {
	parts := steps(t)
	for what, script := range map[string]string{
		"action":   `"$ACTION"`,
		"workflow": parts["Start the server"] + "\nexport \"$(cat env)\"\n" + parts["Run the suite"],
	} {
		for _, c := range []struct {
			name string
			env  []string
			want []string
			pass bool
		}{
			{"passes", []string{"RUN=TestServer"}, []string{"1 passed, 0 failed, 0 skipped", " ask it\n", " 127.0.0.1::4321 --env A=b server:1 serve /data\n"}, true},
			{"fails", []string{"RUN="}, []string{"1 passed, 1 failed, 0 skipped"}, false},
			{"has a server that is ready at once", []string{"RUN=TestServer", "READY="}, []string{"1 passed, 0 failed, 0 skipped"}, true},
			{"has a server that never is", []string{"RUN=TestServer", "NEVER=1"}, []string{"not ready after a minute: ask it"}, false},
			{"is in a folder", []string{"RUN=TestServer", "FOLDER=sub"}, []string{"1 passed, 0 failed, 0 skipped"}, true},
			{"has no port", []string{"RUN=TestServer", "PORT="}, []string{"an image needs a port"}, false},
			{"has a server that ends", []string{"RUN=TestServer", "DIES=1"}, []string{"docker port "}, false},
		} {
			t.Run(what+" "+c.name, func(t *testing.T) {
				before := "if [ $FOLDER = sub ]; then mkdir sub; mv go.* mine* vendor sub; fi\n"
				out, err := outsider(t)(before+script+"\ntest -s \"$TOP/reports/suite.xml\"", append([]string{
					"IMAGE=server:1", "PORT=4321", "OPTIONS=--env A=b", "COMMAND=serve /data", "PACKAGES=./...", "JUNIT=reports/suite.xml", "DIES=", "NEVER=", "READY=ask it", "FOLDER=.",
				}, c.env...)...)
				if (err == nil) != c.pass {
					t.Errorf("%v, want success: %t", err, c.pass)
				}
				if what == "action" && strings.Contains(out, "docker run ") { // the workflow has a machine of its own, and a step for the log
					c.want = append(c.want, "docker rm --force --volumes box\n")
					if !c.pass {
						c.want = append(c.want, "what the server said\n")
					}
				}
				for _, want := range c.want {
					if !strings.Contains(out, want) {
						t.Errorf("the output lacks %q", want)
					}
				}
				if t.Failed() {
					t.Log(out)
				}
			})
		}
	}
}

// TestReportsOfAMatrixDiffer: GitHub refuses a second artifact of one name in a
// run, and a caller's matrix is one run.
func TestReportsOfAMatrixDiffer(t *testing.T) {
	run, script := outsider(t), steps(t)["Name the report"]
	names := map[string]bool{}
	for _, inputs := range []string{`{"image":"a:1"}`, `{"image":"a:2"}`, `{"image":"a:1"}`} {
		out, err := run("rm -f output\n"+script+"\ncat output", "INPUTS="+inputs)
		if err != nil || !regexp.MustCompile(`^name=suite-[0-9]+\n$`).MatchString(out) {
			t.Errorf("%v: %q", err, out)
		}
		names[out] = true
	}
	if len(names) != 2 {
		t.Errorf("two servers have the reports %v", slices.Sorted(maps.Keys(names)))
	}
	if !strings.Contains(read(t, ".github/workflows/backend.yml"), "          name: ${{ steps.report.outputs.name }}\n") {
		t.Error("the report does not get that name")
	}
}

// TestTheWorkflowAndTheActionTakeTheSame also has the page that describes them.
func TestTheWorkflowAndTheActionTakeTheSame(t *testing.T) {
	input := regexp.MustCompile(`(?m)^ +([a-z-]+):\n +(?:description|type): `)
	names := func(file, end string) (list []string) {
		text, _, _ := strings.Cut(read(t, file), end)
		for _, m := range input.FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
		return list
	}
	workflow, action := names(".github/workflows/backend.yml", "\npermissions:"), names(".github/actions/suite/action.yml", "\nruns:")
	// A job of the caller's has its own Go and its own reports.
	if w, a := slices.DeleteFunc(slices.Clone(workflow), func(s string) bool { return s == "go-version" }),
		slices.DeleteFunc(action, func(s string) bool { return s == "junit" }); len(w) == 0 || !slices.Equal(slices.Sorted(slices.Values(w)), slices.Sorted(slices.Values(a))) {
		t.Errorf("the workflow takes %q, the action %q", w, a)
	}
	page := read(t, "docs/write-a-backend.md")
	for _, name := range workflow {
		if !strings.Contains(page, "\n| `"+name+"` | ") {
			t.Errorf("docs/write-a-backend.md does not describe the input %s", name)
		}
	}
}

// TestPipesFail: without shell: bash, GitHub takes the last command of a pipe for
// the whole.
func TestPipesFail(t *testing.T) {
	found := 0
	for name, text := range workflows(t) {
		head, _, _ := strings.Cut(text, "\njobs:\n")
		for _, j := range jobsOf(text) {
			if regexp.MustCompile(`(?m)^ {10}.*[^|] \| [^|]`).MatchString(j.body) {
				found++
				if !strings.Contains(head+j.body, "        shell: bash") {
					t.Errorf("%s: the job %s has a pipe and no shell: bash", name, j.name)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no job has a pipe: mend this test")
	}
}

// TestThePagesWorkflowIsWhole: it is copied as it stands, and has the five lines
// that the page promises.
func TestThePagesWorkflowIsWhole(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "docs/write-a-backend.md"), "\n```yaml\n")
	text, _, found := strings.Cut(text, "```\n")
	for _, key := range []string{"on: ", "jobs:\n", "    uses: sojourn-go/sojourn/.github/workflows/backend.yml@v", "    with: {"} {
		if !found || !strings.Contains("\n"+text, "\n"+key) {
			t.Errorf("the workflow lacks %q:\n%s", key, text)
		}
	}
	if n := strings.Count(text, "\n"); n != 5 {
		t.Errorf("the workflow has %d lines, want 5", n)
	}
	if t.Failed() {
		return
	}
	with := regexp.MustCompile(`(\w+): [^,}]+`).FindAllStringSubmatch(text[strings.Index(text, "with: {")+6:], -1)
	for _, m := range with {
		if !strings.Contains(read(t, ".github/workflows/backend.yml"), "\n      "+m[1]+":\n") {
			t.Errorf("the workflow for others has no input %s", m[1])
		}
	}
}
