package browser

import (
	"fmt"

	"github.com/chromedp/chromedp"
)

// tick clicks on what the selector names.
func tick(selector string) step { return chromedp.Click(chromedp.CSS(selector)) }

func reload() step { return chromedp.Reload() }

// addByScript adds to the cart in the background, as a script of the page would.
func addByScript(item string) step {
	return chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`window.answers = 0;
		fetch("/cart", {method: "POST", body: new URLSearchParams({item: %q})}).then(() => { window.answers++ })`, item))
}
