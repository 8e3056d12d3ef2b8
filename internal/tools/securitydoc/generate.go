package main

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// dirs hold the tests, relative to the module.
var dirs = []string{"session", "session/internal/row", "session/sessionhttp", "conformance/sessions"}

// norms are all that must have a test, in the order of the page. A test is
// named after the first of the norms in its comment.
var norms = []string{
	"ASVS 7.1.1", "ASVS 7.1.2", "ASVS 7.1.3", "ASVS 7.2.1", "ASVS 7.2.2", "ASVS 7.2.3", "ASVS 7.2.4",
	"ASVS 7.3.1", "ASVS 7.3.2", "ASVS 7.4.1", "ASVS 7.4.2", "ASVS 7.4.3", "ASVS 7.4.4", "ASVS 7.4.5",
	"ASVS 7.5.1", "ASVS 7.5.2", "ASVS 7.5.3", "ASVS 7.6.1", "ASVS 7.6.2",
	"ASVS 3.3.1", "ASVS 3.3.2", "ASVS 3.3.3", "ASVS 3.3.4", "ASVS 3.3.5", "ASVS 3.5.1", "RFC6265bis 5.6",
	"CheatSheet strict ids", "CheatSheet id in URL or body", "CheatSheet generic name",
	"CheatSheet renewal timeout", "CheatSheet logging", "CheatSheet anomaly detection", "CheatSheet web content caching",
	"NIST 5.1", "NIST 5.1.1", "NIST 5.2",
}

// lesson is a kind of bug that others had, and one of the threads about it.
type lesson struct{ name, thread string }

// lessons are all that must have a test, in the order of the page.
var lessons = []lesson{
	{"lost update", "SerayaEryn/fastify-session#237"},
	{"resurrection after a sign-out", "expressjs/session#632"},
	{"a touch that revives", "auth0/nextjs-auth0#2530"},
	{"a touch that carries data", "tj/connect-redis#285"},
	{"redirect before the commit", "expressjs/session#309"},
	{"undecodable after a deploy", "spring-projects/spring-session#280"},
	{"rotation race", "expressjs/session#923"},
	{"overlap that outlives a revocation", "ayunis-core#1047"},
	{"rotation against index", "spring-projects/spring-session#1791"},
	{"index that leaks on expiry", "spring-projects/spring-session#2614"},
	{"expiry events lost", "spring-projects/spring-session#2175"},
	{"upgrade broken", "alexedwards/scs#11"},
	{"flush broken", "alexedwards/scs#141"},
	{"flush first, cookie lost", "auth0/express-openid-connect#835"},
	{"panic without the middleware", "alexedwards/scs#114"},
	{"types to register", "gorilla/sessions#57"},
	{"no way to rotate", "gorilla/sessions#11"},
	{"client's id adopted", "gofiber/fiber CVE-2024-38513"},
	{"idle and absolute confused", "gofiber/fiber#2741"},
	{"per-session lifetimes", "alexedwards/scs#235"},
	{"cookie and row disagree", "tj/connect-redis#251"},
	{"too many touches", "jdesboeufs/connect-mongo#152"},
	{"too few touches", "jdesboeufs/connect-mongo#199"},
	{"late reapers", "pallets-eco/flask-session#240"},
	{"search lag", "elastic/kibana#149338"},
	{"torn files, lost renames", "valery-barysok/session-file-store#51"},
	{"half-read JSON", "valery-barysok/session-file-store#21"},
	{"listing that scans all", "alexedwards/scs#198"},
	{"clean-up that races", "alexedwards/scs#231"},
	{"store down", "alkem-io/server#6333"},
	{"disconnect drops the commit", "aspnet/Session#201"},
	{"bots fill the store", "expressjs/session#133"},
	{"keys lost on restart", "dotnet/aspnetcore#39807"},
	{"tokens in headers", "alexedwards/scs#100"},
	{"cookie too large", "vvo/iron-session#101"},
}

// entry is what the comment of one test says.
type entry struct {
	test   string // "TestX" or "Group/Case"
	dir    string
	norms  []string
	bugs   []string
	fields map[string]string // Asks, Library, Application
}

var (
	testFunc = regexp.MustCompile(`^func (Test\w+)\(`)
	caseCall = regexp.MustCompile(`^\s*that\("(\w+)",`)
	groupOf  = regexp.MustCompile(`^\s*return group\("(\w+)",`)
	field    = regexp.MustCompile(`^(Norm|Bug|Asks|Library|Application): (.+)$`)
)

// Generate returns the page for the module in that folder. A norm or a lesson
// without a test is an error, and so is a comment that is not complete.
func Generate(root string) ([]byte, error) {
	var all []entry
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				return nil, err
			}
			found, err := scan(dir, string(data))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f, err)
			}
			all = append(all, found...)
		}
	}
	return render(all)
}

// scan reads the comments that stand directly above tests and cases.
func scan(dir, src string) ([]entry, error) {
	var all []entry
	group := ""
	e := entry{dir: dir, fields: map[string]string{}}
	for line := range strings.Lines(src) {
		line = strings.TrimRight(line, "\n")
		text, isComment := strings.CutPrefix(strings.TrimSpace(line), "// ")
		if isComment {
			e.read(text)
			continue
		}
		if strings.TrimSpace(line) == "//" {
			continue
		}
		if m := groupOf.FindStringSubmatch(line); m != nil {
			group = m[1]
		}
		if m := testFunc.FindStringSubmatch(line); m != nil {
			e.test = m[1]
		} else if m := caseCall.FindStringSubmatch(line); m != nil {
			e.test = group + "/" + m[1]
		}
		if len(e.norms)+len(e.bugs) > 0 {
			if err := e.check(); err != nil {
				return nil, err
			}
			all = append(all, e)
		}
		e = entry{dir: dir, fields: map[string]string{}}
	}
	return all, nil
}

func (e *entry) read(text string) {
	m := field.FindStringSubmatch(text)
	if m == nil {
		return
	}
	switch m[1] {
	case "Norm":
		e.norms = strings.Split(m[2], ", ")
	case "Bug":
		e.bugs = strings.Split(m[2], ", ")
	default:
		e.fields[m[1]] = m[2]
	}
}

func (e *entry) check() error {
	if e.test == "" {
		return fmt.Errorf("a comment about %v %v that is above no test", e.norms, e.bugs)
	}
	if len(e.norms) == 0 {
		return nil
	}
	for _, name := range []string{"Asks", "Library", "Application"} {
		if e.fields[name] == "" {
			return fmt.Errorf("%s: no %s", e.test, name)
		}
	}
	scheme, id, _ := strings.Cut(e.norms[0], " ")
	if scheme != "CheatSheet" {
		scheme += "_" + strings.ReplaceAll(id, ".", "_")
	}
	if !strings.HasPrefix(e.test, "Test"+scheme+"_") {
		return fmt.Errorf("%s is not named after %s", e.test, e.norms[0])
	}
	return nil
}

const intro = `# Security of sessions

<!-- Code generated by internal/tools/securitydoc from the comments of the tests; DO NOT EDIT. -->

What a session layer is asked to do, by OWASP ASVS 5.0 (chapters V7 and V3), RFC 6265bis, the OWASP Session Management Cheat Sheet and NIST SP 800-63B-4; what this library
does by itself; what the program still has to do; and the test that proves it. A test fails when this page is stale:
` + "`make generate`" + ` rewrites it.

`

func render(all []entry) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(intro)
	b.WriteString("## Norms\n\n| norm | asks | the library | the program | test |\n|---|---|---|---|---|\n")
	for _, n := range norms {
		i := slices.IndexFunc(all, func(e entry) bool { return len(e.norms) > 0 && e.norms[0] == n })
		if i < 0 {
			return nil, fmt.Errorf("no test for %s", n)
		}
		e := all[i]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", strings.Join(e.norms, ", "), e.fields["Asks"], e.fields["Library"], e.fields["Application"], e.link())
	}
	for _, e := range all {
		if len(e.norms) > 0 && !slices.Contains(norms, e.norms[0]) {
			return nil, fmt.Errorf("%s: %s is not in the list of norms", e.test, e.norms[0])
		}
	}
	b.WriteString("\n## What real bugs teach\n\nBugs that other session layers had, and the test that keeps each out. Names with a slash are cases of the conformance suite: they run on every backend.\n\n")
	b.WriteString("| bug | threads | tests |\n|---|---|---|\n")
	for _, l := range lessons {
		var tests, threads []string
		for _, e := range all {
			if !slices.Contains(e.bugs, l.thread) {
				continue
			}
			tests = append(tests, e.link())
			for _, t := range e.bugs {
				if !slices.Contains(threads, t) {
					threads = append(threads, t)
				}
			}
		}
		if len(tests) == 0 {
			return nil, fmt.Errorf("no test for %q, %s", l.name, l.thread)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", l.name, strings.Join(threads, ", "), strings.Join(tests, ", "))
	}
	return b.Bytes(), nil
}

// link names the test and its package.
func (e *entry) link() string { return "`" + path.Base(e.dir) + "." + e.test + "`" }
