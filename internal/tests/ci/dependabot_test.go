package ci

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var watchedFolders = regexp.MustCompile(`(?m)^  - package-ecosystem: (\S+)\n    directories: \[(.*)\]$`)

// pinning has the ecosystem of a file's versions. The files are known by name, and by a line if
// others have such a name too.
var pinning = []struct {
	ecosystem string
	name      *regexp.Regexp
	line      *regexp.Regexp
}{
	{"gomod", regexp.MustCompile(`^go\.mod$`), regexp.MustCompile(`(?m)^require\b`)},
	{"maven", regexp.MustCompile(`^pom\.xml$`), nil},
	{"pip", regexp.MustCompile(`\.txt$`), regexp.MustCompile(`(?m)^\S+==\S+ \\\n +--hash=`)},
	{"docker", regexp.MustCompile(`^(Containerfile|Dockerfile)`), regexp.MustCompile(`(?m)^FROM \S+:`)},
	{"docker-compose", regexp.MustCompile(`compose\.ya?ml$`), nil},
	{"github-actions", regexp.MustCompile(`^action\.ya?ml$`), nil},
	{"npm", regexp.MustCompile(`^package\.json$`), nil},
}

// TestDependabotWatchesEveryPin keeps a file with pinned versions from being
// forgotten. Dependabot looks for workflows in the root's folder by itself.
func TestDependabotWatchesEveryPin(t *testing.T) {
	folders := map[string][]string{}
	for _, m := range watchedFolders.FindAllStringSubmatch(read(t, ".github/dependabot.yml"), -1) {
		folders[m[1]] = strings.Split(m[2], ", ")
	}
	found := map[string]int{}
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if file != root && (e.Name() == "testdata" || e.Name() == "reports" || e.Name() == "site" && path.Dir(filepath.ToSlash(file)) == root || e.Name() == ".git") {
				return filepath.SkipDir
			}
			return nil
		}
		for _, p := range pinning {
			if !p.name.MatchString(e.Name()) {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if p.line != nil && !p.line.Match(text) {
				continue
			}
			found[p.ecosystem]++
			rel, err := filepath.Rel(root, filepath.Dir(file))
			if err != nil {
				return err
			}
			folder := path.Join("/", filepath.ToSlash(rel))
			if !slices.ContainsFunc(folders[p.ecosystem], func(pattern string) bool {
				ok, err := path.Match(pattern, folder)
				return ok && err == nil
			}) {
				t.Errorf("Dependabot does not watch %s: add its folder to %s in .github/dependabot.yml", path.Join(folder, e.Name()), p.ecosystem)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for ecosystem := range folders {
		if found[ecosystem] == 0 {
			t.Errorf("nothing of %s is pinned: leave it out of .github/dependabot.yml, or mend this test", ecosystem)
		}
	}
}
