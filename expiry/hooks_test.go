package expiry_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// job is a value from which everything else is derived.
type job struct {
	Owner   string    `json:"owner"`
	Until   time.Time `json:"until"`
	Changed int       `json:"changed"`
	Note    string    `json:"note,omitempty"`
}

var errNoOwner = errors.New("a job needs an owner")

func jobStore(t *testing.T) (*memory.Backend, *expiry.Store[job], *int) {
	t.Helper()
	b, err := memory.New(nil, "jobs", nil)
	if err != nil {
		t.Fatal(err)
	}
	changes := new(int)
	reused := map[string]string{}
	s, err := expiry.NewStore(b, &expiry.StoreOptions{NewID: expiry.RandomID}, expiry.Hooks[job]{
		BeforeWrite: func(_ context.Context, id string, v *job) error {
			if id == "" {
				t.Error("the hook got no id")
			}
			if v.Owner == "" {
				return errNoOwner
			}
			*changes++
			v.Changed = *changes
			return nil
		},
		Labels: func(v *job) map[string]string {
			reused["principal"] = v.Owner // a hook may keep its map
			return reused
		},
		Expiry: func(v *job) expiry.Expiry {
			if v.Until.IsZero() {
				return expiry.Expiry{}
			}
			return expiry.At(v.Until)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b, s, changes
}

// TestHooksRunOnEveryWayToWrite stores a job in each way. What is returned, what
// is stored and what is listed agree.
func TestHooksRunOnEveryWayToWrite(t *testing.T) {
	b, s, changes := jobStore(t)
	ctx, until := t.Context(), time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	setOwner := func(owner string) func(*job) error {
		return func(v *job) error { v.Owner, v.Until = owner, until; return nil }
	}
	bulk := func(op expiry.Op[job]) (expiry.Item[job], error) {
		res, err := s.Bulk(ctx, []expiry.Op[job]{op})
		if err == nil {
			err = res.Err()
		}
		return res.Results[0].Item, err
	}
	for i, way := range []struct {
		name string
		do   func(owner string) (expiry.Item[job], error)
	}{
		{"Create", func(o string) (expiry.Item[job], error) { return s.Create(ctx, "a", job{Owner: o, Until: until}, nil) }},
		{"Upsert", func(o string) (expiry.Item[job], error) { return s.Upsert(ctx, "a", job{Owner: o, Until: until}, nil) }},
		{"Update", func(o string) (expiry.Item[job], error) { return s.Update(ctx, "a", job{Owner: o, Until: until}, nil) }},
		{"Mutate", func(o string) (expiry.Item[job], error) { return s.Mutate(ctx, "a", setOwner(o), nil) }},
		{"MutateOrCreate", func(o string) (expiry.Item[job], error) { return s.MutateOrCreate(ctx, "a", setOwner(o), nil) }},
		{"MutateOrCreate of a new one", func(o string) (expiry.Item[job], error) { return s.MutateOrCreate(ctx, "b", setOwner(o), nil) }},
		{"UpdatePartial", func(o string) (expiry.Item[job], error) {
			return s.UpdatePartial(ctx, "a", map[string]any{"owner": o}, nil)
		}},
		{"bulk update", func(o string) (expiry.Item[job], error) {
			return bulk(expiry.Op[job]{Kind: expiry.OpUpdate, ID: "a", Value: job{Owner: o, Until: until}})
		}},
		{"bulk upsert", func(o string) (expiry.Item[job], error) {
			return bulk(expiry.Op[job]{Kind: expiry.OpUpsert, ID: "a", Value: job{Owner: o, Until: until}})
		}},
		{"bulk create with a new id", func(o string) (expiry.Item[job], error) {
			return bulk(expiry.Op[job]{Kind: expiry.OpCreate, Value: job{Owner: o, Until: until}})
		}},
	} {
		owner := fmt.Sprint("owner", i)
		it, err := way.do(owner)
		if err != nil {
			t.Errorf("%s: %v", way.name, err)
			continue
		}
		got, err := s.Get(ctx, it.ID)
		if err != nil {
			t.Errorf("%s: %v", way.name, err)
			continue
		}
		for _, it := range []expiry.Item[job]{it, got} {
			if it.Value.Changed != *changes || it.Value.Owner != owner || !it.ExpiresAt.Equal(until) || !maps.Equal(it.Labels, map[string]string{"principal": owner}) {
				t.Errorf("%s: got %+v until %v under %v, after %d changes", way.name, it.Value, it.ExpiresAt, it.Labels, *changes)
			}
		}
		if n, err := s.Count(ctx, &expiry.ListOptions{Label: "principal", Value: owner}); n != 1 || err != nil {
			t.Errorf("%s: %d records of the owner, %v", way.name, n, err)
		}
	}
	before := *changes
	if _, err := s.Mutate(ctx, "a", func(*job) error { return nil }, nil); err != nil || *changes != before {
		t.Errorf("a mutation of nothing: %v, and the hook ran %d times", err, *changes-before)
	}
	// Fields that the type does not know keep their bytes beside what the hook
	// changes.
	r := raw(t, b, "a")
	r.Value, r.Revision = []byte(`{"owner":"ann","extra":1.10,"until":"0001-01-01T00:00:00Z","changed":0}`), model.NewRevision()
	put(t, b, r)
	if _, err := s.UpdatePartial(ctx, "a", map[string]any{"note": "x"}, nil); err != nil {
		t.Error(err)
	}
	if got := string(raw(t, b, "a").Value); !strings.Contains(got, `"extra":1.10`) || !strings.Contains(got, fmt.Sprintf(`"changed":%d`, *changes)) || !strings.Contains(got, `"note":"x"`) {
		t.Errorf("stored %s", got)
	}
	if n, err := s.Reindex(ctx, nil); err != nil {
		t.Errorf("reindexed %d, %v", n, err)
	}
}

func TestAHooksErrorStopsEveryWrite(t *testing.T) {
	b, s, _ := jobStore(t)
	ctx := t.Context()
	if _, err := s.Create(ctx, "a", job{Owner: "ann"}, nil); err != nil {
		t.Fatal(err)
	}
	before := raw(t, b, "a")
	drop := func(v *job) error { v.Owner = ""; return nil }
	_, create := s.Create(ctx, "b", job{}, nil)
	_, upsert := s.Upsert(ctx, "a", job{}, nil)
	_, update := s.Update(ctx, "a", job{}, nil)
	_, mutate := s.Mutate(ctx, "a", drop, nil)
	_, partial := s.UpdatePartial(ctx, "a", map[string]any{"owner": ""}, nil)
	res, err := s.Bulk(ctx, []expiry.Op[job]{{Kind: expiry.OpUpsert, ID: "a"}, {Kind: expiry.OpUpsert, ID: "c", Value: job{Owner: "ann"}}})
	if err != nil || res.Upserted != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	for verb, err := range map[string]error{"Create": create, "Upsert": upsert, "Update": update, "Mutate": mutate, "UpdatePartial": partial, "Bulk": res.Results[0].Err} {
		if err != errNoOwner { //nolint:errorlint // the hook's very error
			t.Errorf("%s: got %v", verb, err)
		}
	}
	if after := raw(t, b, "a"); after.Revision != before.Revision {
		t.Error("a refused value was written")
	}
	_, err = s.Update(ctx, "a", job{Owner: "bob"}, &expiry.WriteOptions{Labels: map[string]string{"principal": "eve"}})
	wantKind(t, err, model.ErrInvalid)
	if _, err := expiry.NewStore(b, nil, expiry.Hooks[job]{}, expiry.Hooks[job]{}); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("two Hooks: %v", err)
	}
}

func TestReindexDoesNotShareTheFunctionsMap(t *testing.T) {
	b, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := storeOn(t, b, nil)
	for i := range 3 {
		if _, err := s.Create(t.Context(), fmt.Sprint("id", i), value{i}, nil); err != nil {
			t.Fatal(err)
		}
	}
	reused := map[string]string{}
	if _, err := s.Reindex(t.Context(), func(it expiry.Item[value]) map[string]string {
		reused["principal"] = it.ID
		return reused
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		id := fmt.Sprint("id", i)
		if got := raw(t, b, id).Labels["principal"]; got != id {
			t.Errorf("%s is listed under %s", id, got)
		}
	}
}

func TestIDsThatAreSecretsNeverLeaveTheStore(t *testing.T) {
	m, err := memory.New(nil, "links", nil)
	if err != nil {
		t.Fatal(err)
	}
	spy := &idSpy{ModelExpirySupport: m}
	var observed []string
	s := storeOn(t, spy, &expiry.StoreOptions{SecretIDs: true, Grace: -1, NewID: expiry.RandomID, Observe: func(_ context.Context, o expiry.Observation) {
		observed = append(observed, o.ID, fmt.Sprint(o.Err, o.ItemErr))
	}})
	ctx := t.Context()
	it, err := s.Issue(ctx, value{7}, &expiry.WriteOptions{Expiry: expiry.After(time.Hour), Labels: map[string]string{"principal": "ann"}})
	if err != nil {
		t.Fatal(err)
	}
	secret := it.ID
	check := func(verb string, id string, err error) {
		t.Helper()
		if err != nil || id != secret {
			t.Errorf("%s: got the id %q, %v", verb, id, err)
		}
	}
	got, err := s.Get(ctx, secret)
	check("Get", got.ID, err)
	st, err := s.Stat(ctx, secret)
	check("Stat", st.ID, err)
	got, err = s.Touch(ctx, secret, expiry.After(time.Hour), &expiry.TouchOptions{IfMatch: got.Known()})
	check("Touch", got.ID, err)
	got, err = s.Update(ctx, secret, value{8}, &expiry.WriteOptions{IfMatch: got.Known()})
	check("Update", got.ID, err)
	got, err = s.Mutate(ctx, secret, func(v *value) error { v.N++; return nil }, nil)
	check("Mutate", got.ID, err)
	got, err = s.UpdatePartial(ctx, secret, map[string]any{"N": 3}, nil)
	check("UpdatePartial", got.ID, err)
	many, err := s.GetMany(ctx, []string{secret, "other", secret})
	check("GetMany", many[0].Item.ID, err)
	check("GetMany", many[2].Item.ID, err)
	res, err := s.Bulk(ctx, []expiry.Op[value]{{Kind: expiry.OpUpdate, ID: secret}, {Kind: expiry.OpUpdate, ID: "missing"}, {Kind: expiry.OpCreate}})
	check("Bulk", res.Results[0].Item.ID, err)
	if id := res.Results[2].Item.ID; len(id) < 26 || spy.seen[id] {
		t.Errorf("a new id %q", id)
	}
	errs := []error{many[1].Err, res.Results[1].Err}
	_, e := s.Create(ctx, secret, value{}, nil)
	errs = append(errs, e)
	_, e = s.Get(ctx, secret+strings.Repeat("x", 600))
	errs = append(errs, e)
	_, e = s.Update(ctx, "another-secret", value{}, nil)
	errs = append(errs, e)
	got, err = s.Take(ctx, secret)
	check("Take", got.ID, err)
	_, e = s.Take(ctx, secret)
	wantKind(t, e, model.ErrNotFound)
	errs = append(errs, e)
	for _, e := range errs {
		if e == nil {
			t.Error("a call that must fail did not")
			continue
		}
		observed = append(observed, e.Error())
	}
	for _, hidden := range []string{secret, "other", "missing", "another-secret"} {
		for _, text := range observed {
			if text == hidden || strings.Contains(text, `"`+hidden) {
				t.Errorf("the text %q has an id", text)
			}
		}
		if spy.seen[hidden] {
			t.Errorf("the backend has seen the id %q", hidden)
		}
	}
	if _, err := storeOn(t, m, nil).Issue(ctx, value{}, nil); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("Issue without SecretIDs: %v", err)
	}
}

// idSpy notes every id.
type idSpy struct {
	driver.ModelExpirySupport
	seen map[string]bool
}

func (s *idSpy) saw(id string) {
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	s.seen[id] = true
}

func (s *idSpy) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	s.saw(g.ID)
	return s.ModelExpirySupport.Get(ctx, now, g)
}

func (s *idSpy) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	s.saw(w.Record.ID)
	s.saw(w.Known.ID)
	return s.ModelExpirySupport.Write(ctx, now, w)
}

func (s *idSpy) Touch(ctx context.Context, now time.Time, c driver.Touch) (model.Record, error) {
	s.saw(c.ID)
	return s.ModelExpirySupport.Touch(ctx, now, c)
}

func (s *idSpy) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	s.saw(d.ID)
	return s.ModelExpirySupport.Delete(ctx, now, d)
}

func TestSafeID(t *testing.T) {
	seen := map[string]string{}
	for _, s := range []string{"", "a", "a\x00b", "\xff", "\xfe", strings.Repeat("x", 512), strings.Repeat("x", 513), "sha256-", expiry.SafeID(""), "ä"} {
		id := expiry.SafeID(s)
		if err := model.CheckID(id); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if other, taken := seen[id]; taken {
			t.Errorf("%q and %q have the same id", s, other)
		}
		seen[id] = s
		if model.CheckID(s) == nil && !strings.HasPrefix(s, "sha256-") && id != s {
			t.Errorf("the legal id %q became %q", s, id)
		}
	}
}
