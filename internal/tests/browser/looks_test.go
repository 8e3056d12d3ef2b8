package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// axeVersion is that which make browser downloads.
const axeVersion = "4.14.1"

// tour shows every page of the shop to the function, by its name.
func tour(t *testing.T, show func(p *person, page string)) {
	t.Helper()
	inMemory(t)
	phone := newPerson(t)
	phone.visits(home + "login")
	phone.signsIn("demo", "/")

	p := newPerson(t)
	p.visits(home)
	p.presses("Add Enamel mug to the cart", "/")
	p.presses("Add Wool blanket to the cart", "/")
	show(p, "home")
	p.visits(home + "devices")
	show(p, "login")
	p.expects("401")
	p.navigates(401, "/login", fill("user", "demo"), fill("password", "x"), press("Sign in"))
	show(p, "login-refused")
	p.signsIn("demo", "/devices")
	p.waits(`document.getElementById("live").dataset.state == "open"`)
	p.presses("Account", "/confirm?next=%2Faccount")
	show(p, "confirm")
	p.navigates(200, "/account", fill("password", "demo"), press("Go on"))
	show(p, "account")
	p.presses("Devices", "/devices")
	p.waits(`document.getElementById("live").dataset.state == "open"`)
	other := newPerson(t)
	other.visits(home + "devices")
	other.signsIn("demo", "/devices")
	p.sees("A new sign-in.")
	show(p, "devices")
	other.presses("Sign out the others", "/devices")
	p.sees("This device was signed out.")
	show(p, "devices-ended")
	p.expects("404")
	p.types(home+"nowhere", 404, "/nowhere")
	show(p, "problem")

	admin := newPerson(t)
	admin.visits(home + "admin")
	admin.signsIn("admin", "/admin")
	show(admin, "admin")
	admin.navigates(200, "/", fill("reason", "ticket 7"), press("Act as demo"))
	show(admin, "acting")
	admin.presses("Stop acting", "/admin")
	admin.presses("Sign out", "/goodbye")
	show(admin, "goodbye")
}

var (
	schemes = []string{"light", "dark"}
	widths  = []int64{1280, 390}
)

// looks emulates a width and a color scheme, without the transition from one to the
// other.
func (p *person) looks(width int64, scheme string) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, 844))
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	ok(p.t, err)
}

// TestLooks runs axe-core on every page, light and dark, wide and narrow.
func TestLooks(t *testing.T) {
	source, err := os.ReadFile(cache("axe-core-"+axeVersion, "axe.min.js"))
	if err != nil {
		lacking(t, fmt.Sprintf("axe-core %s is not there: run make browser: %v", axeVersion, err))
	}
	checked := 0
	tour(t, func(p *person, page string) {
		p.do(chromedp.Evaluate[chromedp.Void](string(source)))
		for _, width := range widths {
			for _, scheme := range schemes {
				p.looks(width, scheme)
				if over := eval[int](p, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
					t.Errorf("%s, %d wide: the page is %d wider than the window", page, width, over)
				}
				for _, v := range p.axe() {
					t.Errorf("%s, %d wide, %s: %s", page, width, scheme, v)
				}
				checked++
			}
		}
	})
	t.Logf("%d looks at pages", checked)
}

// axe returns the violations of the page.
func (p *person) axe() []string {
	p.t.Helper()
	raw, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`axe.run({resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.flatMap(v =>
		v.nodes.map(n => v.id + ": " + n.html.slice(0, 120) + ": " + (n.failureSummary || "").slice(0, 300)))))`, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatal(err)
	}
	var out []string
	if err := json.Unmarshal([]byte(raw), &out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

// pictured are the pages that TestScreenshots writes.
var pictured = []string{"home", "devices-ended", "account", "admin", "acting"}

// TestScreenshots writes pictures of pages: light and wide, dark and narrow.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("make screenshots writes the pictures")
	}
	ok(t, os.MkdirAll(*screenshots, 0o755))
	tour(t, func(p *person, page string) {
		if !slices.Contains(pictured, page) {
			return
		}
		for i, width := range widths {
			p.looks(width, schemes[i])
			picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
			ok(t, err)
			name := strings.Join([]string{page, schemes[i], fmt.Sprint(width)}, "-") + ".png"
			ok(t, os.WriteFile(filepath.Join(*screenshots, name), picture, 0o644))
		}
	})
}
