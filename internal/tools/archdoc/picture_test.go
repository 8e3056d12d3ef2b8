package main

import "testing"

func TestPicture(t *testing.T) {
	got := picture(map[string][]string{
		"model": nil, "expiry": {"expiry/driver", "model"}, "expiry/driver": {"model"}, "internal/tools/x": {"model"},
	})
	const want = "```mermaid\nflowchart TD\n" +
		"    expiry[expiry]\n    expiry --> expiry_driver\n" +
		"    expiry_driver[expiry/driver]\n    expiry_driver --> model\n" +
		"    model[model]\n```\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReplace(t *testing.T) {
	got, err := replace("a\n"+startMark+"old\n"+endMark+"z\n", "new\n")
	if want := "a\n" + startMark + "new\n" + endMark + "z\n"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := replace("a\n", "new\n"); err == nil {
		t.Error("a page without marks was accepted")
	}
}
