package model_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

var sentinels = []error{
	model.ErrNotFound, model.ErrExists, model.ErrConflict, model.ErrInvalid, model.ErrTooLarge,
	model.ErrCorrupt, model.ErrUnsupported, model.ErrUnavailable, model.ErrUnknown, model.ErrClosed,
}

func TestSentinelsAreDistinct(t *testing.T) {
	for _, a := range sentinels {
		for _, b := range sentinels {
			want := a == b || a == model.ErrUnknown && b == model.ErrUnavailable //nolint:errorlint // the sentinels themselves
			if got := errors.Is(a, b); got != want {
				t.Errorf("errors.Is(%v, %v) is %v", a, b, got)
			}
		}
	}
	if !errors.Is(model.ErrUnsupported, errors.ErrUnsupported) {
		t.Error("ErrUnsupported does not match the standard library's")
	}
}

func TestFaultHasKindAndCause(t *testing.T) {
	for _, kind := range sentinels {
		err := error(&model.Error{Op: "Get", Backend: "x", ID: "a\n", Err: model.NewError(kind, "detail", io.ErrUnexpectedEOF)})
		if model.Kind(err) != kind {
			t.Errorf("%v is of the kind %v", err, model.Kind(err))
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v does not unwrap to its cause", err)
		}
		if want := `x: Get "a\n": ` + kind.Error() + ": detail"; err.Error() != want {
			t.Errorf("text %q, want %q", err, want)
		}
	}
	if model.Kind(io.EOF) != nil || model.Kind(nil) != nil {
		t.Error("a kind for what has none")
	}
}

func TestCauseIsNotInTheText(t *testing.T) {
	err := model.NewError(model.ErrCorrupt, "", errors.New("password=hunter2"))
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("text %q", err)
	}
}

func TestRevision(t *testing.T) {
	seen := map[model.Revision]bool{}
	for range 1000 {
		r := model.NewRevision()
		if r.IsZero() || seen[r] {
			t.Fatalf("revision %v", r)
		}
		seen[r] = true
		back, err := model.ParseRevision(r.String())
		if err != nil || back != r {
			t.Fatalf("%v came back as %v, %v", r, back, err)
		}
	}
	for _, bad := range []string{"", "x", strings.Repeat("0", 31), strings.Repeat("0", 33), strings.Repeat("g", 32)} {
		if _, err := model.ParseRevision(bad); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestMillisRoundsUp(t *testing.T) {
	at := time.Date(2024, 2, 29, 1, 2, 3, 4_000_000, time.UTC)
	for in, want := range map[time.Time]time.Time{
		{}:                                      {},
		at:                                      at,
		at.Add(1):                               at.Add(time.Millisecond),
		at.Add(time.Millisecond - 1):            at.Add(time.Millisecond),
		at.In(time.FixedZone("x", 3600)).Add(5): at.Add(time.Millisecond),
	} {
		if got := model.Millis(in); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("Millis(%v) is %v, want %v", in, got, want)
		}
	}
}

func TestExpired(t *testing.T) {
	now := time.Now()
	for at, want := range map[time.Time]bool{
		{}: false, now: true, now.Add(-time.Hour): true, now.Add(1): false,
	} {
		if got := (model.Record{ExpiresAt: at}).Expired(now); got != want {
			t.Errorf("expires at %v, expired at %v: %v", at, now, got)
		}
	}
}

func TestChecks(t *testing.T) {
	for id, ok := range map[string]bool{
		"": false, "a": true, " ": true, "..": true, "a\x00": false, "\xff": false, "😀": true,
		strings.Repeat("x", model.MaxID): true, strings.Repeat("x", model.MaxID+1): false,
	} {
		if err := model.CheckID(id); (err == nil) != ok || err != nil && !errors.Is(err, model.ErrInvalid) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	for v, ok := range map[string]bool{
		"": false, "a": true, "a\x00": false, "\xff": false,
		strings.Repeat("x", model.MaxLabel): true, strings.Repeat("x", model.MaxLabel+1): false,
	} {
		if err := model.CheckLabelValue(v); (err == nil) != ok {
			t.Errorf("label value %q: %v", v, err)
		}
	}
	for n, ok := range map[string]bool{
		"": false, "a": true, "principal": true, "a-b_1": true, "A": false, "1a": false, "_a": false, "a.b": false, "ä": false,
		strings.Repeat("x", 64): true, strings.Repeat("x", 65): false,
	} {
		if err := model.CheckLabelName(n); (err == nil) != ok {
			t.Errorf("label name %q: %v", n, err)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	r := model.Record{ID: "a", Labels: map[string]string{"principal": "ann"}, Value: []byte("value")}
	c, h := r.Clone(), r.Head()
	r.Labels["principal"], r.Value[0] = "bob", 'X'
	if c.Labels["principal"] != "ann" || string(c.Value) != "value" || h.Labels["principal"] != "ann" || h.Value != nil {
		t.Errorf("clone %+v, head %+v", c, h)
	}
}
