package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

const carts = "file:data?name=carts"

func TestRecords(t *testing.T) {
	site(t)
	list := lines[record](t, run(t, nil, "ls", "-u", carts, "--json", "--long").want(t, exitDone))
	if len(list) != 3 || list[0].Labels["principal"] == "" || list[0].ExpiresAt == nil || list[0].Size == nil || *list[0].Size == 0 {
		t.Fatalf("ls: %+v", list)
	}
	if n := len(lines[record](t, run(t, nil, "ls", "-u", carts, "--json", "--limit", "2"))); n != 2 {
		t.Errorf("ls --limit 2 printed %d records", n)
	}
	table := run(t, nil, "ls", "-u", carts, "--label", "principal=ben").want(t, exitDone, "ID", "EXPIRES", "cart-3", "principal=ben")
	if strings.Contains(table.out, "cart-1") || strings.Contains(table.out, "\x1b") {
		t.Errorf("ls by label printed\n%s", table.out)
	}
	run(t, nil, "get", "-u", carts, "cart-1", "--value").want(t, exitDone, `{"owner":"ann","goods":3}`)
	plain := run(t, nil, "get", "-u", carts, "cart-1").want(t, exitDone, "revision", "25 bytes")
	if strings.Contains(plain.out, "goods") {
		t.Error("get printed the value without --value")
	}
	run(t, nil, "touch", "-u", carts, "cart-1", "--until", "2001-01-01T00:00:00Z").want(t, exitUsage, "past")
	run(t, nil, "touch", "-u", carts, "cart-1", "--until", "tomorrow").want(t, exitUsage, "--until")
	run(t, nil, "touch", "-u", carts, "cart-1", "--never").want(t, exitDone, "never")
	run(t, nil, "touch", "-u", carts, "cart-1", "--for", "2h", "--extend").want(t, exitDone, "never")
	run(t, nil, "rm", "-u", carts, "cart-1", "--revision", strings.Repeat("1", 32)).want(t, exitConflict)
	run(t, nil, "rm", "-u", carts, "cart-1", "nix").want(t, exitNotFound, "removed 1", `"nix"`)
	run(t, nil, "rm", "-u", carts, "--label", "principal=ann", "--json").want(t, exitDone, `{"removed":1}`)
	run(t, nil, "count", "-u", carts).want(t, exitDone, "1\n")
	run(t, nil, "rm", "-u", carts, "--all").want(t, exitDone, "removed 1")
}

func TestVersion(t *testing.T) {
	for version, want := range map[string]string{"0.1.0": "sojourn version 0.1.0\n", "": "sojourn version unknown\n"} {
		var out strings.Builder
		if code := Main(t.Context(), &System{Out: &out, Err: &out, Version: version}, []string{"--version"}); code != exitDone || out.String() != want {
			t.Errorf("version %q: exit code %d, printed %q, want %q", version, code, out.String(), want)
		}
	}
}

func TestSweepRemovesWhatExpired(t *testing.T) {
	site(t)
	expire(t, carts, "cart-1")
	run(t, nil, "sweep", "-u", carts, "--grace", "0", "--limit", "1", "--json").want(t, exitDone, `{"removed":1,"unknown":0}`)
	run(t, nil, "sweep", "-u", carts, "--every", "-1s").want(t, exitUsage)
}

// TestSweepGoesOnUntilASignal ends the sweep after its first result: by the same
// way, a signal ends it.
func TestSweepGoesOnUntilASignal(t *testing.T) {
	site(t)
	expire(t, carts, "cart-1")
	ctx, cancel := context.WithCancel(t.Context())
	out := &firstWrite{do: cancel}
	code := Main(ctx, &System{Out: out, Err: out, Getenv: func(string) string { return "" }}, []string{"sweep", "-u", carts, "--grace", "0", "--every", "1ms"})
	if code != exitDone || !strings.Contains(out.text, "removed 1") {
		t.Errorf("exit code %d, printed %q", code, out.text)
	}
}

type firstWrite struct {
	do   func()
	text string
}

func (f *firstWrite) Write(data []byte) (int, error) {
	if f.text += string(data); strings.Contains(f.text, "removed") {
		f.do()
	}
	return len(data), nil
}

func TestSessions(t *testing.T) {
	handle := site(t)
	const sessions = "file:data?name=sessions"
	if all := lines[sessionJSON](t, run(t, nil, "sessions", "-u", sessions, "--json").want(t, exitDone)); len(all) != 2 {
		t.Fatalf("sessions: %+v", all)
	}
	run(t, nil, "sessions", "-u", sessions, "ann").want(t, exitDone, handle, "ann")
	run(t, nil, "session", "-u", sessions, "--", handle).want(t, exitDone, "principal  ann")
	run(t, nil, "get", "-u", sessions, "--value", "--", handle).want(t, exitDone, `{"v":3,`, `"principal":"ann"`)
	if r := run(t, nil, "get", "-u", sessions, "--value", "--raw", "--", handle).want(t, exitDone, "ann"); r.out[0] != 0xC1 {
		t.Errorf("the stored row is %q", r.out)
	}
	dashed := "-" + strings.Repeat("A", len(handle)-1) // one of 64 handles begins so
	run(t, nil, "session", "-u", sessions, dashed).want(t, exitUsage, "behind a --")
	run(t, nil, "session", "-u", sessions, "--", dashed).want(t, exitNotFound)
	run(t, nil, "sign-out", "-u", sessions, "--handle", dashed).want(t, exitNotFound)
	run(t, nil, "sign-out", "-u", sessions).want(t, exitUsage)
	run(t, nil, "sign-out", "-u", sessions, "ann", "--json").want(t, exitDone, `{"ended":1}`)
	run(t, nil, "session", "-u", sessions, "--", handle).want(t, exitNotFound)
	run(t, nil, "sign-out", "-u", sessions, "--everybody").want(t, exitDone, "ended 1")
}

func TestReindexAndKeys(t *testing.T) {
	site(t)
	const owners = "file:data?name=carts&labels=principal,owner"
	run(t, nil, "reindex", "-u", owners, "--label", "owner=/owner").want(t, exitDone, "changed 3")
	run(t, nil, "reindex", "-u", owners, "--label", "owner=/owner", "--json").want(t, exitDone, `{"changed":0}`)
	run(t, nil, "count", "-u", owners, "--label", "owner=ann").want(t, exitDone, "2\n")
	run(t, nil, "reindex", "-u", carts, "--label", "owner=/owner").want(t, exitUsage, "not declared")
	const rows = "file:data?name=sessions&labels=principal,who"
	run(t, nil, "reindex", "-u", rows, "--label", "who=/principal").want(t, exitDone, "changed 2")
	run(t, nil, "sessions", "-u", rows, "--json").want(t, exitDone, `"ann"`, `"ben"`)

	oldKey := "old:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"
	newKey := "new:MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"
	env := environment{"SOJOURN_SEAL_KEY": oldKey}
	run(t, env, "keys", "-u", carts, "--reseal", "--purpose", "carts").want(t, exitDone, "old", "3")
	env["SOJOURN_SEAL_KEY"] = newKey + "\n" + oldKey
	list := lines[use](t, run(t, env, "keys", "-u", carts, "--reseal", "--purpose", "carts", "--json").want(t, exitDone))
	if len(list) != 1 || list[0] != (use{"new", 3, true}) {
		t.Errorf("after a new key: %+v", list)
	}
	env["SOJOURN_SEAL_KEY"] = oldKey
	r := run(t, env, "keys", "-u", carts).want(t, exitDone, "new", "no")
	if strings.Contains(r.out, "MDEy") {
		t.Error("keys printed a secret")
	}
	run(t, nil, "keys", "-u", "file:data?name=sessions", "--sessions").want(t, exitDone, "(not sealed)", "2")
}

// TestSecretsStayOffTheCommandLine gives secrets in URLs, which are refused, and
// from the environment and a file, and looks for them in everything printed.
func TestSecretsStayOffTheCommandLine(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, url := range []string{
		"redis://u:hunter2@127.0.0.1:1", "redis://:hunter2@127.0.0.1:1", "elasticsearch://127.0.0.1:1/i?api_key=hunter2",
		"postgres://u@127.0.0.1:1/db?password=hunter2", "redis://u:hunter2@h?x=/#", "redis+sentinel://h?master=m&sentinel_password=hunter2",
		"mongodb://u:hunter2@127.0.0.1:1/db", "redis://u:hun/ter2@hunter2",
	} {
		for _, args := range [][]string{{"ls", "-u", url}, {"doctor", url}, {"bench", url}, {"conformance", url}} {
			r := run(t, nil, args...).want(t, exitUsage)
			if strings.Contains(r.out+r.err, "ter2") {
				t.Errorf("%s %s printed the secret: %s", args[0], url, r.err)
			}
		}
	}
	if err := os.WriteFile("secret", []byte("redis://u:hunter2@127.0.0.1:1?dial_timeout=10ms&max_retries=-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []environment{
		{"SOJOURN_URL_FILE": filepath.Join(".", "secret")},
		{"SOJOURN_URL": "redis://u@127.0.0.1:1?dial_timeout=10ms&max_retries=-1", "SOJOURN_PASSWORD": "hunter2"},
	} {
		r := run(t, env, "ls").want(t, exitUnavailable)
		if strings.Contains(r.out+r.err, "hunter2") {
			t.Errorf("printed the secret: %s", r.err)
		}
	}
	run(t, nil, "ls").want(t, exitUsage, "SOJOURN_URL")
	run(t, environment{"OLD_URL": "memory:"}, "count", "-u", "env:OLD_").want(t, exitDone, "0\n")
}

// TestNamesOfStrangersCannotReachTheTerminal has an id with an escape sequence.
func TestNamesOfStrangersCannotReachTheTerminal(t *testing.T) {
	t.Chdir(t.TempDir())
	store, err := expiry.NewStore[string](openURL(t, carts), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(t.Context(), "a\x1b[2Jb\u202e", "v", nil); err != nil {
		t.Fatal(err)
	}
	r := run(t, nil, "ls", "-u", carts).want(t, exitDone, `a\x1b[2Jb\u202e`)
	if strings.Contains(r.out, "\x1b") {
		t.Error("ls printed an escape sequence")
	}
}

func TestUnreadableRecordsAreListed(t *testing.T) {
	site(t)
	files, err := filepath.Glob("data/carts/records/*/i-cart-1")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte("foreign"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "ls", "-u", carts).want(t, exitCorrupt, "cannot be read", "cart-2")
	run(t, nil, "get", "-u", carts, "cart-1").want(t, exitCorrupt)
}

func TestColumnsFitTheTerminal(t *testing.T) {
	rows := [][]string{{"ID", "EXPIRES", "LABELS"}, {strings.Repeat("x", 60), "never", strings.Repeat("y", 50)}}
	sum := gap * 2
	for _, w := range fit(rows, 80) {
		sum += w
	}
	if sum != 80 {
		t.Errorf("the columns take %d of 80 characters", sum)
	}
	if got := cut("abcdef", 4); got != "abc…" {
		t.Errorf("cut returned %q", got)
	}
	if w := fit(rows, 0); w[0] != 60 || w[2] != 50 {
		t.Errorf("without a terminal the widths are %v", w)
	}
}

func TestNoStoreIsTouchedByBenchAndConformance(t *testing.T) {
	site(t)
	before := run(t, nil, "ls", "-u", carts, "--long", "--json").out
	run(t, nil, "bench", carts, "--for", "1ms", "--records", "20", "--clients", "3", "--json").want(t, exitDone, `"op":"get"`)
	run(t, nil, "conformance", carts, "--run", "^Storage/").want(t, exitDone, " 0 failed")
	if after := run(t, nil, "ls", "-u", carts, "--long", "--json").out; after != before {
		t.Errorf("the store has now\n%s\nit had\n%s", after, before)
	}
	left, err := filepath.Glob("data/sojourn-*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	run(t, nil, "conformance", carts, "--run", "^nothing$").want(t, exitUsage)
}

func TestSeverity(t *testing.T) {
	levels := map[driver.CheckLevel]int{driver.CheckRight: exitDone, driver.CheckWarning: exitWarning, driver.CheckUnknown: exitUnseen, driver.CheckUnsafe: exitUnsafe}
	for a, codeA := range levels {
		for b, codeB := range levels {
			if got := severity(driver.Checks{{Level: a}, {Level: b}}); got != max(codeA, codeB) {
				t.Errorf("%v and %v: exit code %d", a, b, got)
			}
		}
	}
}

func TestPlansAreOfTheBackend(t *testing.T) {
	t.Chdir(t.TempDir())
	run(t, nil, "init", "-u", "sqlite:new.db?table=carts", "--dry-run").want(t, exitDone, `CREATE TABLE "carts"`)
	run(t, nil, "init", "-u", "file:data", "--dry-run", "--json").want(t, exitDone, `"plan"`)
	if _, err := os.Stat("data"); err == nil {
		t.Error("init --dry-run made a folder")
	}
	run(t, nil, "init", "-u", "sqlite:new.db?table=carts").want(t, exitDone)
	run(t, nil, "count", "-u", "sqlite:new.db?table=carts").want(t, exitDone, "0\n")
}
