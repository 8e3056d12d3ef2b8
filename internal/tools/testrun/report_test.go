package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what was printed into testdata")

// The streams in testdata were recorded from go test -json (Go 1.26): tests that pass, skip and fail,
// a package that does not compile, and one whose TestMain fails. Others have a panic, a time limit, and a
// report that is longer than go test reads.
func TestRecordedStreams(t *testing.T) {
	for _, test := range []struct {
		name, stream string
		verbose      bool
		malformed    int
		want         counts
	}{
		{name: "good", stream: "good.json", want: counts{passed: 4, skipped: 3}},
		{name: "good-verbose", stream: "good.json", verbose: true, want: counts{passed: 4, skipped: 3}},
		{name: "bad", stream: "bad.json", malformed: 1, want: counts{passed: 4, failed: 4}},
		{name: "long", stream: "long.json", malformed: 1, want: counts{passed: 1}},
		{name: "ugly", stream: "ugly.json", want: counts{passed: 1, failed: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			stream, err := os.Open(filepath.Join("testdata", test.stream))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stream.Close() }()
			var out bytes.Buffer
			r := newReport(&out, test.verbose)
			follow(r, stream, time.Hour)
			if got := r.summarize(); got != test.malformed {
				t.Errorf("%d malformed reports, want %d", got, test.malformed)
			}
			if got := r.count(); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
			golden(t, test.name, out.Bytes())
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update to accept):\n%s", path, got)
	}
}

func TestRepeatedTestsAreAllCounted(t *testing.T) {
	r := newReport(io.Discard, false)
	for _, result := range []string{"fail", "pass", "skip"} {
		r.line(`{"Action":"run","Package":"p","Test":"TestA"}`)
		r.line(`{"Action":"` + result + `","Package":"p","Test":"TestA"}`)
	}
	r.line(`{"Action":"fail","Package":"p"}`)
	if got, want := r.count(), (counts{passed: 1, failed: 1, skipped: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestSubtestsWhoseNamesHoldSlashes(t *testing.T) {
	r := newReport(io.Discard, false)
	for _, name := range []string{"TestA", "TestA/x/y", "TestA/x/y/z"} {
		r.line(`{"Action":"run","Package":"p","Test":"` + name + `"}`)
	}
	for _, name := range []string{"TestA/x/y/z", "TestA/x/y", "TestA"} {
		r.line(`{"Action":"pass","Package":"p","Test":"` + name + `"}`)
	}
	if got, want := r.count(), (counts{passed: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestForeignLinesAndLongOnesArePrinted(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	var out bytes.Buffer
	follow(newReport(&out, false), strings.NewReader("go: downloading\n"+long), time.Hour)
	if want := "go: downloading\n" + long + "\n"; out.String() != want {
		t.Errorf("%d bytes, want %d", out.Len(), len(want))
	}
}

func TestHeartbeat(t *testing.T) {
	var out bytes.Buffer
	r := newReport(&out, false)
	r.began = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	now := r.began.Add(90 * time.Second)
	r.heartbeat(now)
	for _, line := range []string{
		`{"Action":"start","Package":"example.org/done"}`,
		`{"Action":"run","Package":"example.org/done","Test":"TestA"}`,
		`{"Action":"pass","Package":"example.org/done","Test":"TestA"}`,
		`{"Action":"pass","Package":"example.org/done"}`,
		`{"Action":"start","Package":"example.org/busy"}`,
		`{"Time":"2026-01-02T03:00:10Z","Action":"run","Package":"example.org/busy","Test":"TestB"}`,
		`{"Time":"2026-01-02T03:00:40Z","Action":"run","Package":"example.org/busy","Test":"TestB/slow"}`,
	} {
		r.line(line)
	}
	r.heartbeat(now)
	want := "... 1m30s: 0 passed, 0 failed, 0 skipped; running: the compiler\n" +
		"... 1m30s: 1 passed, 0 failed, 0 skipped; running: example.org/busy TestB/slow (50s)\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestSilenceIsBrokenByHeartbeats(t *testing.T) {
	stream, writer := io.Pipe()
	beats := 0
	out := writerFunc(func(p []byte) (int, error) {
		if strings.HasPrefix(string(p), "... ") {
			if beats++; beats == 2 {
				_ = writer.Close()
			}
		}
		return len(p), nil
	})
	follow(newReport(out, false), stream, time.Millisecond)
	if beats < 2 {
		t.Errorf("%d heartbeats", beats)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestParse(t *testing.T) {
	always := []string{"test", "-race", "-json", "-shuffle=on"}
	for _, test := range []struct {
		name     string
		args     []string
		own      flags
		goTest   []string
		packages []string
	}{
		{name: "nothing", goTest: always, packages: []string{"./..."}},
		{"flags", []string{"-v", "-count=1"}, flags{verbose: true}, append(always[:4:4], "-count=1"), []string{"./..."}},
		{"packages", []string{"-run=A", "./model", "./expiry"}, flags{}, append(always[:4:4], "-run=A"), []string{"./model", "./expiry"}},
		{"modules", []string{"-modules=a/b,c", "./model"}, flags{modules: []string{"a/b", "c"}}, always, []string{"./model"}},
		{"modules alone", []string{"-modules=a"}, flags{modules: []string{"a"}}, always, nil},
		{"no modules", []string{"-modules="}, flags{modules: []string{}}, always, []string{"./..."}},
	} {
		t.Run(test.name, func(t *testing.T) {
			own, goTest, packages := parse(test.args)
			if !reflect.DeepEqual(own, test.own) || !slices.Equal(goTest, test.goTest) || !slices.Equal(packages, test.packages) {
				t.Errorf("%+v %q %q, want %+v %q %q", own, goTest, packages, test.own, test.goTest, test.packages)
			}
		})
	}
}

func TestExitStatusIsThatOfGoTest(t *testing.T) {
	var out bytes.Buffer
	status, err := run(t.Context(), &out, flags{}, []string{"test", "-json"}, []string{"./testdata/absent"})
	if status == 0 || err != nil {
		t.Errorf("%d, %v, want a status and no error of testrun's own", status, err)
	}
	if !strings.HasSuffix(out.String(), "\n0 passed, 1 failed, 0 skipped\n") {
		t.Errorf("%q", out.String())
	}
}

// TestModulesAreOneRun runs one module of which the tests pass and one of which
// a test fails, beside this module's package model.
func TestModulesAreOneRun(t *testing.T) {
	folders := []string{t.TempDir(), t.TempDir()}
	for i, body := range []string{"", `t.Fatal("planted")`} {
		for name, text := range map[string]string{
			"go.mod":    "module example.com/m\n\ngo 1.26\n",
			"a_test.go": "package m\n\nimport \"testing\"\n\nfunc TestIt(t *testing.T) { " + body + " }\n",
		} {
			if err := os.WriteFile(filepath.Join(folders[i], name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		modules []string
		status  int
		last    string
	}{
		"pass":       {folders[:1], 0, "\n1 passed, 0 failed, 0 skipped\n"},
		"fails":      {folders, 1, "\n1 passed, 1 failed, 0 skipped\n"},
		"fails soon": {[]string{folders[1], folders[0]}, 1, "\n1 passed, 1 failed, 0 skipped\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			status, err := run(t.Context(), &out, flags{modules: test.modules}, []string{"test", "-json"}, []string{"../../../model/doc.go"})
			if err != nil || status != test.status || !strings.HasSuffix(out.String(), test.last) {
				t.Errorf("status %d, %v, %q, want %d and %q", status, err, out.String(), test.status, test.last)
			}
		})
	}
}
