package ci

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestBothBuildsOfAReleaseAreOne: what goreleaser packs is built with the flags,
// in the environment and for the systems of the build that is compared.
func TestBothBuildsOfAReleaseAreOne(t *testing.T) {
	script, config, workflow := read(t, ".ci/release-build.sh"), read(t, ".goreleaser.yaml"), read(t, ".github/workflows/release.yml")
	pairs := func(systems, processors string) (all string) {
		for os := range strings.SplitSeq(systems, ", ") {
			for arch := range strings.SplitSeq(processors, ", ") {
				all += os + "_" + arch + " "
			}
		}
		return all
	}
	one := func(text, pattern string) string {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("nothing matches %s", pattern)
		}
		return m[1]
	}
	list := func(text string) []string {
		fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\'' })
		slices.Sort(fields)
		return fields
	}
	targets := one(config, `\n    targets: \[(.*)\]\n`)
	for what, pair := range map[string][2]string{
		"environment": {one(script, `\nexport (CGO_ENABLED=.*)\n`), one(config, `\n    env: \[(.*)\]\n`)},
		"flags":       {one(script, `go build (.*) \\\n`), one(config, `\n    flags: \[(.*)\]\n`)},
		"linker": {
			strings.ReplaceAll(one(script, `-ldflags="(.*?)"`), "$version", "VERSION"),
			strings.ReplaceAll(one(config, `ldflags: \["(.*)"\]`), "{{ .Version }}", "VERSION"),
		},
		"systems": {
			strings.ReplaceAll(one(script, `\{platforms:-(.*)\}`), "/", "_"), targets,
		},
		"jobs": {pairs(one(workflow, `\n        os: \[(.*)\]\n`), one(workflow, `\n        arch: \[(.*)\]\n`)), targets},
	} {
		if a, b := list(pair[0]), list(pair[1]); len(a) == 0 || !slices.Equal(a, b) {
			t.Errorf("%s: the script has %q, .goreleaser.yaml has %q", what, a, b)
		}
	}
	if !strings.Contains(read(t, "cmd/sojourn/main.go"), "\nvar version string\n") {
		t.Error("package main has no variable version that the linker could set")
	}
}

// TestABuildThatDiffersIsFound has compilers that write the same each time, and
// where their cache is.
func TestABuildThatDiffersIsFound(t *testing.T) {
	compiler := func(writes string) string {
		return "#!/bin/bash\nfor a; do last=$out; out=$a; done\nmkdir -p \"$last\" && printf '%s' \"" + writes + "\" >\"$last/sojourn\"\n"
	}
	run := repository(t, map[string]string{
		"cmd/sojourn/main.go": "package main\n",
		"same/go":             compiler("same for $GOOS"),
		"differs/go":          compiler("$GOCACHE"),
		"modules":             "#!/bin/bash\nwhile [ \"$1\" != -output ]; do shift; done\nprintf modules >\"$2\"\n",
	})
	for compiler, want := range map[string]string{"same": "linux_arm64/sojourn\n", "differs": "the builds differ"} {
		out, err := run("bash", "-c", `PATH=$PWD/`+compiler+`:$PATH CYCLONEDX=$PWD/modules PLATFORMS='linux/arm64 darwin/arm64' GOCACHE= .ci/release-build.sh`)
		if (err == nil) != (compiler == "same") || !strings.Contains(out, want) {
			t.Errorf("%s: %v, want %q in\n%s", compiler, err, want, out)
		}
		if strings.Contains(out, "sojourn_darwin_arm64.cdx.json\n") != (compiler == "same") {
			t.Errorf("%s: the lists of modules are not among the checksums, or should not be:\n%s", compiler, out)
		}
	}
}

func TestTheImageHasNoRights(t *testing.T) {
	text := read(t, "cmd/sojourn/Containerfile")
	if strings.Count(text, "\nFROM ") != 1 || !strings.Contains(text, "\nFROM scratch\n") {
		t.Error("the image is not made from nothing: another one must be pinned by its digest")
	}
	if !strings.Contains(text, "\nUSER 65532:65532\n") || strings.Contains(text, "\nRUN ") {
		t.Error("the image runs as root, or runs something when it is built")
	}
	if !strings.Contains(read(t, "cmd/sojourn/main.go"), "x509roots/fallback") {
		t.Error("nothing has the roots of certificates that the image lacks")
	}
}

// TestEveryScriptIsChecked: what make lint gives to shellcheck are all files that
// a shell runs.
func TestEveryScriptIsChecked(t *testing.T) {
	var listed []string
	m := regexp.MustCompile(`\nSCRIPTS := (.*) \$\(shell git ls-files '\*\.sh'\)\n`).FindStringSubmatch(read(t, "Makefile"))
	if m == nil {
		t.Fatal("the Makefile lists no scripts")
	}
	listed = strings.Fields(m[1])
	out, err := exec.Command("git", "-C", root, "ls-files").Output()
	if err != nil {
		t.Fatal(err)
	}
	shebang := regexp.MustCompile(`^#!.*\b(ba|da|z|k)?sh\b`)
	found := 0
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		if strings.HasSuffix(name, ".sh") || !shebang.MatchString(read(t, name)) {
			continue
		}
		found++
		if !slices.Contains(listed, name) {
			t.Errorf("%s is a script that make lint does not check: add it to SCRIPTS", name)
		}
	}
	if found != len(listed) {
		t.Errorf("the Makefile lists %q, %d of them are scripts", listed, found)
	}
}
