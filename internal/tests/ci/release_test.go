package ci

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestTargetsLoopOverModules: go's ./... ends where another module begins.
func TestTargetsLoopOverModules(t *testing.T) {
	makefile := read(t, "Makefile")
	for target, list := range map[string]string{"lint": "$(MODULES)", "vet-systems": "$(RELEASED)", "vuln": "$(MODULES)", "tidy": "$(MODULES)"} {
		_, recipe, found := strings.Cut(makefile, "\n"+target+":")
		recipe, _, _ = strings.Cut(recipe, "\n\n")
		if !found || !strings.Contains(recipe, list) {
			t.Errorf("make %s does not loop over %s", target, list)
		}
	}
	for line := range strings.Lines(read(t, ".ci/release-check.sh")) {
		if regexp.MustCompile(`^must .* go (build|vet|mod) `).MatchString(line) && !strings.Contains(line, " each go ") {
			t.Errorf("release-check looks at one module: %s", line)
		}
	}
	if text := read(t, ".github/workflows/vuln.yml"); !strings.Contains(text, `paths: ["**/go.mod", "**/go.sum"]`) {
		t.Error("vuln.yml does not run for the go.mod of every module")
	}
}

// repository makes one with the scripts of .ci and the files, and returns what
// runs a command in it. The commands go, make and apidiff succeed there and do
// nothing.
func repository(t *testing.T, files map[string]string) func(name string, args ...string) (string, error) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the scripts of .ci run on Linux and macOS")
	}
	dir, bin := t.TempDir(), t.TempDir()
	put := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go", "make", "apidiff"} {
		put(filepath.Join(bin, name), "#!/bin/sh\n")
	}
	for _, name := range []string{".ci/api.sh", ".ci/release-build.sh", ".ci/release-check.sh", ".ci/release-modules.sh", ".ci/release-notes.sh"} {
		put(filepath.Join(dir, name), read(t, name))
	}
	for name, text := range files {
		put(filepath.Join(dir, name), text)
	}
	run := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "APIDIFF=apidiff",
			"GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_DIR="+filepath.Join(dir, ".git"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "-m", "x"}} {
		if out, err := run("git", args...); err != nil {
			t.Fatal(err, out)
		}
	}
	return run
}

// TestAPIComparesWithTheLastRelease has a candidate of the same version, and a
// tag of another module.
func TestAPIComparesWithTheLastRelease(t *testing.T) {
	run := repository(t, nil)
	for _, tag := range []string{"v0.1.0", "v0.2.0-rc.1", "v0.2.0", "backends/x/v0.3.0"} {
		if out, err := run("git", "tag", tag); err != nil {
			t.Fatal(err, out)
		}
	}
	if out, err := run(".ci/api.sh"); err != nil || !strings.Contains(out, "since v0.2.0:") {
		t.Errorf("%v: %s, want what changed since v0.2.0", err, out)
	}
	// A further module has the numbers of the root, on a branch that is not merged.
	out, err := run("bash", "-ec", `git switch -q -c release
		git -c user.name=x -c user.email=x@example.org commit -q --allow-empty -m x
		git tag backends/y/v0.2.0
		git switch -q -
		mkdir -p backends/y old/backends/y && touch backends/y/go.mod
		git add backends && git -c user.name=x -c user.email=x@example.org commit -q -m y
		git tag -f backends/y/v0.2.0
		.ci/api.sh`)
	if err != nil || !strings.Contains(out, "since v0.2.0:") || !strings.Contains(out, "since backends/y/v0.2.0:") {
		t.Errorf("%v: %s, want what changed in both since v0.2.0", err, out)
	}
}

// TestModulesAreReleasedPlain has further modules with what is taken out before
// their release, and without.
func TestModulesAreReleasedPlain(t *testing.T) {
	released := "module m/x\n\nrequire m v0.1.0\n"
	files := map[string]string{
		"go.mod":                   "module m\n",
		"backends/replaced/go.mod": released + "\nreplace m => ../..\n",
		"backends/never/go.mod":    "module m/x\n\nrequire (\n\tm v0.0.0\n)\n",
		"backends/plain/go.mod":    released,
		"adapters/plain/go.mod":    released,
		"cmd/plain/go.mod":         released,
		"examples/x/go.mod":        released,
		"internal/x/go.mod":        released,
	}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "docs/releases.md"} {
		files[name] = "text\n"
	}
	run := repository(t, files)
	for module, want := range map[string]string{
		"": "", "backends/plain": "", "adapters/plain": "", "cmd/plain": "",
		"backends/replaced": "replaces and excludes nothing",
		"backends/never":    "replaces and excludes nothing",
		"internal/x":        "want one of: adapters/plain backends/never backends/plain backends/replaced cmd/plain",
		"examples/x":        "want one of:",
		"backends/missing":  "want one of:",
	} {
		out, err := run("env", "MODULE="+module, ".ci/release-check.sh")
		if (err != nil) != (want != "") || strings.Count(out, "release-check: failed:") > 1 || !strings.Contains(out[strings.LastIndex(out, "release-check: "):], want) {
			t.Errorf("MODULE=%s: %v, want %q:\n%s", module, err, want, out)
		}
	}
}

// TestAReleaseHasItsChangelog: a tag is final, and so is the text that it has.
func TestAReleaseHasItsChangelog(t *testing.T) {
	for text, want := range map[string]string{
		"## Unreleased\n\n## 0.2.0 (2026-01-02)\n\nText.\n\n## 0.1.0\n": "",
		"## 0.2.0 - 2026-01-02\n\nText.\n":                              "",
		"## Unreleased\n\n## 0.2.0\n\nText.\n":                          `no section "## 0.2.0" with a date`,
		"## Unreleased\n\n- More.\n\n## 0.2.0 (2026-01-02)\n\nText.\n":  `still has something under "## Unreleased"`,
	} {
		files := map[string]string{"go.mod": "module m\n", "CHANGELOG.md": text}
		for _, name := range []string{"LICENSE", "README.md", "SECURITY.md", "CONTRIBUTING.md", "docs/releases.md"} {
			files[name] = "text\n"
		}
		out, err := repository(t, files)("env", "VERSION=0.2.0", ".ci/release-check.sh")
		if (err != nil) != (want != "") || !strings.Contains(out, want) {
			t.Errorf("%q: %v, want %q:\n%s", text, err, want, out)
		}
	}
}

// TestACandidateIsNotTheLatest runs what makes a release on GitHub with a gh that
// says its flags.
func TestACandidateIsNotTheLatest(t *testing.T) {
	run := repository(t, map[string]string{"gh/gh": "#!/bin/sh\necho \"gh $*\"\n"})
	scripts := regexp.MustCompile(`(?m)^      - run: \|\n((?:          .*\n)*?          gh release create .*\n)`).FindAllStringSubmatch(read(t, ".github/workflows/release.yml"), -1)
	if len(scripts) != 2 {
		t.Fatalf("%d jobs make a release, want that of the root and that of the command line", len(scripts))
	}
	for i, tags := range []map[string]string{
		{"v0.2.0": "v0.2.0 --verify-tag ", "v0.2.0-rc.1": "v0.2.0-rc.1 --prerelease --verify-tag "},
		{"cmd/sojourn/v0.2.0": "v0.2.0 --latest=false --verify-tag ", "cmd/sojourn/v0.2.0-rc.1": "v0.2.0-rc.1 --latest=false --prerelease --verify-tag "},
	} {
		for tag, want := range tags {
			out, err := run("bash", "-ec", "PATH=$PWD/gh:$PATH RUNNER_TEMP=. GITHUB_REF_NAME="+tag+"\n"+scripts[i][1])
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("%s: %v, want %q in %s", tag, err, want, out)
			}
		}
	}
}

// TestNotesLinkToTheVersion: GitHub shows the text of a release at an address
// from which relative links lead nowhere.
func TestNotesLinkToTheVersion(t *testing.T) {
	run := repository(t, map[string]string{
		"go.mod":       "module github.com/a/b\n",
		"CHANGELOG.md": "## 0.2.0 (2026-01-02)\n\nSee [x](docs/x.md#y) and [z](https://example.org/z), `f()(g)`.\n\n## 0.1.0\n\nOld.\n",
	})
	want := "See [x](https://github.com/a/b/blob/v0.2.0/docs/x.md#y) and [z](https://example.org/z), `f()(g)`.\n"
	if out, err := run(".ci/release-notes.sh", "0.2.0"); err != nil || out != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
	for _, version := range []string{"0.3.0", "", "v0.2.0"} {
		if out, err := run(".ci/release-notes.sh", version); err == nil {
			t.Errorf("the version %q, of which there is no text, has %q", version, out)
		}
	}
}

// TestTheTextOfAReleaseNamesEveryModule leaves out what is emptied when the first
// version is released.
func TestTheTextOfAReleaseNamesEveryModule(t *testing.T) {
	text := read(t, "CHANGELOG.md")
	if before, rest, found := strings.Cut(text, "\n## Unreleased\n"); found {
		if own, after, _ := strings.Cut(rest, "\n## "); strings.Contains(own, "between states that were never released") {
			text = before + after
		}
	}
	for _, module := range modules(t) {
		released := regexp.MustCompile(`^(adapters|backends|cmd)/`).MatchString(module)
		if released && !strings.Contains(text, "`"+module+"`") {
			t.Errorf("CHANGELOG.md does not name %s", module)
		}
	}
}

// TestTheCommandLineComesAfterItsModules: its go.mod can require their versions
// only when these have tags.
func TestTheCommandLineComesAfterItsModules(t *testing.T) {
	run := repository(t, map[string]string{
		"go.mod":            "module example.org/m\n",
		"backends/a/go.mod": "module example.org/m/backends/a\n\nreplace example.org/m => ../..\n",
		"adapters/b/go.mod": "module example.org/m/adapters/b\n\nreplace (\n\texample.org/m => ../..\n\texample.org/other => example.org/fork v1.0.0\n)\n",
		"adapters/c/go.mod": "module example.org/m/adapters/c\n",
		"cmd/d/go.mod":      "module example.org/m/cmd/d\n\nreplace (\n\texample.org/m => ../..\n\texample.org/m/backends/a => ../../backends/a\n)\n",
		"examples/e/go.mod": "module example.org/m/examples/e\n\nreplace example.org/m => ../..\n",
		"notes/go":          "#!/bin/sh\necho \"${PWD##*/}: $*\"\n",
	})
	root := " -dropreplace=example.org/m -require=example.org/m@v0.2.0"
	for module, want := range map[string]string{
		"":      "release-modules: adapters/b requires v0.2.0\nb: mod edit" + root + "\nb: mod tidy\nrelease-modules: backends/a requires v0.2.0\na: mod edit" + root + "\na: mod tidy\n",
		"cmd/d": "release-modules: cmd/d requires v0.2.0\nd: mod edit" + root + " -dropreplace=example.org/m/backends/a -require=example.org/m/backends/a@v0.2.0\nd: mod tidy\n",
	} {
		if out, err := run("bash", "-c", "PATH=$PWD/notes:$PATH VERSION=0.2.0 MODULE="+module+" .ci/release-modules.sh"); err != nil || out != want {
			t.Errorf("MODULE=%s: %v, %s, want %s", module, err, out, want)
		}
	}
	for _, env := range [][]string{{"VERSION="}, {"VERSION=v0.2.0"}, {"VERSION=0.2.0", "MODULE=adapters/c"}, {"VERSION=0.2.0", "MODULE=cmd/missing"}} {
		if out, err := run("env", append(env, ".ci/release-modules.sh")...); err == nil {
			t.Errorf("%v: %s", env, out)
		}
	}
	page := read(t, "docs/releases.md")
	tags, command := strings.Index(page, "`git tag -s backends/postgres/v0.1.0`."), strings.Index(page, "`make release-modules VERSION=0.1.0 MODULE=cmd/sojourn`")
	if tags < 0 || command < tags {
		t.Error("docs/releases.md does not make the command line's go.mod after the tags of what it requires")
	}
}

// TestAReleaseLooksAtEverySystem: the job check leaves the other systems to a
// job for each, and nothing is released without these.
func TestAReleaseLooksAtEverySystem(t *testing.T) {
	text := read(t, ".github/workflows/release.yml")
	systems := regexp.MustCompile(`(?m)^        system: \[(.*)\]$`)
	all := regexp.MustCompile(`(?m)^SYSTEMS \?= (.*)$`).FindStringSubmatch(read(t, "Makefile"))
	for _, workflow := range []string{"check", "release"} {
		m := systems.FindStringSubmatch(read(t, ".github/workflows/"+workflow+".yml"))
		if m == nil || all == nil || strings.ReplaceAll(m[1], ",", "") != all[1] {
			t.Errorf("the systems of %s.yml are %v, those of make vet-systems %v", workflow, m, all)
		}
	}
	for _, j := range jobsOf(text) {
		needs := regexp.MustCompile(`\n    needs: (.*)\n`).FindStringSubmatch(j.body)
		waits := len(needs) > 1 && slices.Contains([]string{"[check, systems]", "build", "binaries"}, needs[1]) // build waits for the checks too
		if (strings.Contains(j.body, ": write") || strings.Contains(j.body, "\n        os: ")) && !waits {
			t.Errorf("the job %s publishes, or builds what is published, and does not wait for the checks", j.name)
		}
	}
}
