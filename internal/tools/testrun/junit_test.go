package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recorded returns the report on a recorded stream.
func recorded(t *testing.T, stream string) *report {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", stream))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := newReport(io.Discard, false)
	follow(r, f, time.Hour)
	return r
}

func TestReportsOfRecordedStreams(t *testing.T) {
	for _, name := range []string{"good", "bad", "ugly"} {
		t.Run(name, func(t *testing.T) {
			r := recorded(t, name+".json")
			folder := t.TempDir()
			own := flags{junit: filepath.Join(folder, "junit.xml"), summaries: []string{filepath.Join(folder, "a.md"), filepath.Join(folder, "b.md")}}
			if err := r.write(own); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(own.junit)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".xml", text)
			golden(t, name+".md", []byte(r.markdown(r.began.Add(90*time.Second))))
			for _, file := range own.summaries {
				if text, err := os.ReadFile(file); err != nil || !bytes.Contains(text, []byte(" passed, ")) {
					t.Errorf("%s: %v, %s", file, err, text)
				}
			}
		})
	}
}

// The numbers of the suites add up to those of the last line, and each has its cases.
func TestJUnitCountsAsTheLastLineDoes(t *testing.T) {
	for _, name := range []string{"good", "bad", "ugly"} {
		r := recorded(t, name+".json")
		text, err := xml.Marshal(r.junit())
		if err != nil {
			t.Fatal(err)
		}
		var read junit
		if err := xml.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		var c counts
		for _, suite := range read.Suites {
			for i := range suite.Cases {
				switch it := &suite.Cases[i]; {
				case it.Failure != nil:
					c.failed++
				case it.Skipped != nil:
					c.skipped++
				default:
					c.passed++
				}
			}
		}
		if want := r.count(); c != want || read.Failures != want.failed || read.Skipped != want.skipped || read.Tests != want.passed+want.failed+want.skipped {
			t.Errorf("%s: cases %+v, totals %d, %d, %d, want %+v", name, c, read.Tests, read.Failures, read.Skipped, want)
		}
	}
}

func TestSummariesAreAppended(t *testing.T) {
	file := filepath.Join(t.TempDir(), "summary.md")
	if err := os.WriteFile(file, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newReport(io.Discard, false)
	if err := r.write(flags{summaries: []string{file}}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), "before\n**0 passed") {
		t.Errorf("%q, %v", text, err)
	}
	if err := r.write(flags{junit: filepath.Join(file, "impossible")}); err == nil {
		t.Error("a report that cannot be written is no error")
	}
}

func TestOutputIsCodeWhateverItHolds(t *testing.T) {
	if got, want := fence("a\n```\nb"), "````text\na\n```\nb\n````\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := cell("a | `b`\nc"), "`` a \\| `b` c ``"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReportsKeepTheEndOfLongOutput(t *testing.T) {
	var output []string
	for range 100 {
		output = append(output, strings.Repeat("x", 200)+"\n")
	}
	got := lastLines(append(output, "=== NAME  TestA\n", "the reason\n"))
	if len(got) > outputLimit+len("…\n") || !strings.HasPrefix(got, "…\n") || !strings.HasSuffix(got, "x\nthe reason\n") {
		t.Errorf("%d bytes: %q", len(got), got[:20])
	}
}

func TestParseTakesTheReportsFlags(t *testing.T) {
	own, goTest, packages := parse([]string{"-junit=a.xml", "-summary=b.md", "-summary=c.md", "./model"})
	if own.junit != "a.xml" || strings.Join(own.summaries, " ") != "b.md c.md" || strings.Contains(strings.Join(append(goTest, packages...), " "), ".xml") {
		t.Errorf("%+v, %q, %q", own, goTest, packages)
	}
}

func TestPatternsThatMatchNothingAreAnError(t *testing.T) {
	for _, test := range []struct {
		arguments []string
		fails     bool
	}{
		{[]string{"test", "-json", "-run=TestOfNoName"}, true},
		{[]string{"test", "-json", "-run=^TestOutputIsCodeWhateverItHolds$"}, false},
	} {
		status, err := run(t.Context(), io.Discard, flags{}, test.arguments, []string{"."})
		if (status != 0) != test.fails || (err != nil) != test.fails {
			t.Errorf("%q: %d, %v", test.arguments, status, err)
		}
	}
}
