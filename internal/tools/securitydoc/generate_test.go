package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestPageIsFresh(t *testing.T) {
	want, err := Generate("../../..")
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("docs/security.md is stale: make generate rewrites it")
	}
}

func TestIncompleteCommentsAreFound(t *testing.T) {
	const full = "// Norm: ASVS 7.1.1\n// Asks: a\n// Library: b\n// Application: c\nfunc TestASVS_7_1_1_X(t *testing.T) {\n"
	all, err := scan("session", full+"}\n\n// Bug: a/b#1, c/d#2\n\tthat(\"Case\", nil),\n")
	if err != nil || len(all) != 2 || all[0].test != "TestASVS_7_1_1_X" || len(all[1].bugs) != 2 {
		t.Fatal(all, err)
	}
	for name, src := range map[string]string{
		"no field":      strings.Replace(full, "// Library: b\n", "", 1),
		"another name":  strings.Replace(full, "TestASVS_7_1_1_X", "TestASVS_7_1_2_X", 1),
		"above no test": strings.Replace(full, "func Test", "func test", 1),
	} {
		if _, err := scan("session", src); err == nil {
			t.Error(name, "is accepted")
		}
	}
	if _, err := render(all); err == nil {
		t.Error("norms without a test are accepted")
	}
}
