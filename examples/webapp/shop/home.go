package shop

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/session"
)

// What a session keeps.
var (
	visits = session.NewKey[int]("visits")
	cart   = session.NewKey[[]string]("cart")
	notice = session.NewKey[string]("notice") // shown once, on the next page
)

var products = []string{"Field notebook", "Enamel mug", "Wool blanket", "Trail map"}

const (
	maxItem = 60 // runes
	maxCart = 50
)

// home counts the visit. It is the only page that writes on a GET. A browser whose
// session was ended learns that first: such a session takes no changes.
func (a *Shop) home(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	s, err := session.Require(ctx)
	if err != nil {
		return err
	}
	why, err := s.Why(ctx)
	if err != nil {
		return err
	}
	if r.Method == http.MethodGet && why == session.WhyNone {
		if err := visits.Update(ctx, func(n *int) error { *n++; return nil }); err != nil {
			return err
		}
	}
	n, err := visits.GetOr(ctx, 0)
	if err != nil {
		return err
	}
	items, err := cart.GetOr(ctx, nil)
	if err != nil {
		return err
	}
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "home", "Home", map[string]any{
		"Visits": n, "Cart": counted(items), "CartSize": len(items), "Products": products, "MaxItem": maxItem,
		"Session": info, "Policy": a.svc.Policy(), "Why": reasonText(why),
	})
}

func (a *Shop) addToCart(w http.ResponseWriter, r *http.Request) error {
	item := strings.TrimSpace(r.PostForm.Get("item"))
	if item == "" || !utf8.ValidString(item) || utf8.RuneCountInString(item) > maxItem {
		return badRequest("An item has 1 to %d characters.", maxItem)
	}
	err := cart.Update(r.Context(), func(items *[]string) error {
		if len(*items) >= maxCart {
			return badRequest("The cart is full: it takes %d items.", maxCart)
		}
		*items = append(*items, item)
		return nil
	})
	if err != nil {
		return err
	}
	return done(w, r, "/", item+" is in your cart.")
}

func (a *Shop) removeFromCart(w http.ResponseWriter, r *http.Request) error {
	item := r.PostForm.Get("item")
	err := cart.Update(r.Context(), func(items *[]string) error {
		if i := slices.Index(*items, item); i >= 0 {
			*items = slices.Delete(*items, i, i+1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return done(w, r, "/", "One "+item+" less in your cart.")
}

// apiSession returns the state of the session as JSON and counts no visit.
func (a *Shop) apiSession(w http.ResponseWriter, r *http.Request) error {
	user, in, err := session.User(r.Context())
	if err != nil {
		return err
	}
	n, err := visits.GetOr(r.Context(), 0)
	if err != nil {
		return err
	}
	items, err := cart.GetOr(r.Context(), []string{})
	if err != nil {
		return err
	}
	data, err := json.Marshal(struct {
		Authenticated bool     `json:"authenticated"`
		Principal     string   `json:"principal"`
		Visits        int      `json:"visits"`
		Cart          []string `json:"cart"`
	}{in, user, n, items})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "private, no-store")
	_, err = w.Write(data)
	return err
}

// line is a cart's item with its number.
type line struct {
	Item  string
	Count int
}

func counted(items []string) []line {
	var out []line
	for _, item := range items {
		i := slices.IndexFunc(out, func(l line) bool { return l.Item == item })
		if i < 0 {
			out = append(out, line{item, 1})
			continue
		}
		out[i].Count++
	}
	return out
}

// done keeps a message for the next page and leads there.
func done(w http.ResponseWriter, r *http.Request, to, message string) error {
	if err := notice.Set(r.Context(), message); err != nil {
		return err
	}
	http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // a page of this site: see local
	return nil
}
