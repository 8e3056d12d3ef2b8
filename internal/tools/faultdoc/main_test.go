package main

import (
	"strings"
	"testing"
)

// The page is only as good as what these runs promise.
func TestNothingIsLostThatTheMethodsPromise(t *testing.T) {
	all, err := enumerate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 220 {
		t.Fatalf("%d runs, want those of all methods", len(all))
	}
	for _, r := range all {
		name := r.verb + ", " + r.calls[r.at] + " " + r.fault.String()
		signsOut := strings.HasPrefix(r.verb, "SignOut") || strings.HasPrefix(r.verb, "Destroy")
		// The row has another secret, and its client could not get it.
		replaced := r.is == "anonymous (replaced)" && (r.fault == crashAfter ||
			r.fault == lostStored && (r.verb == "Rotate" || r.verb == "Reauthenticate" || r.verb == "Elevate"))
		if r.err == nil && !r.fault.crash() {
			if r.is != r.want.after {
				t.Errorf("%s: it succeeded, and the client is %s, want %s", name, r.is, r.want.after)
			}
			if r.oldOpens {
				t.Errorf("%s: it succeeded, and the token from before still opens a session", name)
			}
		}
		if !signsOut && !replaced && !mayBe(&r) {
			t.Errorf("%s: the client is %s with the value %s", name, r.is, r.value)
		}
		if signsOut && r.fault == crashAfter && r.calls[r.at] == "Write" && !strings.HasPrefix(r.is, "anonymous") {
			t.Errorf("%s: the client is %s", name, r.is)
		}
		if r.rows > 2 {
			t.Errorf("%s: %d rows are left", name, r.rows)
		}
	}
}

// mayBe reports whether the client is who it was before or who it is after the
// method, with the value that it had or has set.
func mayBe(r *result) bool {
	switch r.is {
	case "alice", "anonymous, with a session":
		return r.value != "none" || r.verb == "SignIn without a session"
	case "alice as bob":
		return r.verb == "Impersonate" || r.verb == "EndImpersonation"
	case "anonymous": // without a session before
		return r.verb == "A first value" || r.verb == "SignIn without a session"
	}
	return false
}
