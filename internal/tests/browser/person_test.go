package browser

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// step is something that a tab does.
type step = chromedp.Action[chromedp.Void]

// person is a tab of a browser with its own cookies. Whatever fails ends the test.
type person struct {
	t    *testing.T
	open context.Context //nolint:containedctx // chromedp's tabs are contexts
	ctx  context.Context //nolint:containedctx // the tab's, for a limited time
	end  context.CancelFunc
	errs *console
}

// console has what the pages of one tab have reported as errors.
type console struct {
	mu       sync.Mutex
	messages []string
	expected []string
}

func (c *console) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages = append(c.messages, fmt.Sprintf(format, args...))
}

// newPerson opens a browser with no cookies. When the test ends, the console of
// its pages must have no error that the test did not expect.
func newPerson(t *testing.T) *person {
	t.Helper()
	_, browser := start(t)
	return tabOf(browser, t, chromedp.WithNewBrowserContext())
}

// tab opens another tab of the same browser.
func (p *person) tab() *person { p.t.Helper(); return tabOf(p.ctx, p.t) }

func tabOf(parent context.Context, t *testing.T, opts ...chromedp.ContextOption) *person {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(parent, opts...)
	if err := chromedp.Do(ctx); err != nil { // opens the tab, which must outlive the time limit
		t.Fatal(err)
	}
	p := &person{t: t, open: ctx, errs: &console{}, end: func() {}}
	p.goesOn()
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			p.errs.add("exception: %s", e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
				p.errs.add("console.%s: %s", e.Type, e.Args[0].Value)
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				p.errs.add("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.errs.check(t)
		p.end()
		closeTab()
	})
	return p
}

// goesOn begins the time that one test, or one row of a long table, may take.
func (p *person) goesOn() {
	p.end()
	p.ctx, p.end = context.WithTimeout(p.open, patience)
}

// expects allows errors in the console that have the text.
func (p *person) expects(text string) { p.errs.expected = append(p.errs.expected, text) }

func (c *console) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
next:
	for _, m := range c.messages {
		for _, text := range c.expected {
			if strings.Contains(m, text) {
				continue next
			}
		}
		t.Errorf("the console has an error: %s", m)
	}
}

func (p *person) do(actions ...step) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatalf("%v\nthe page is %s", err, p.describe())
	}
}

func (p *person) describe() string {
	ctx := p.ctx
	if ctx.Err() != nil { // the time of the test is over, the tab is not
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(p.ctx), patience/10)
		defer cancel()
	}
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// navigates runs actions that lead to another page, waits for it, and checks its
// status and address.
func (p *person) navigates(status int64, address string, actions ...step) {
	p.t.Helper()
	res, err := chromedp.RunResponse(p.ctx, actions...)
	p.arrives(res, err, status, address)
}

func (p *person) arrives(res *network.Response, err error, status int64, address string) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%v\nthe page is %s", err, p.describe())
	}
	if res.Status != status || !strings.HasSuffix(res.URL, address) {
		p.t.Fatalf("%s answered %d, want %d from %s\nthe page is %s", res.URL, res.Status, status, address, p.describe())
	}
}

// visits types an address.
func (p *person) visits(url string) {
	p.t.Helper()
	p.types(url, 200, "")
}

// types goes to an address, and checks the status and the address of the page.
func (p *person) types(url string, status int64, address string) {
	p.t.Helper()
	res, err := chromedp.RunResponse(p.ctx, chromedp.Navigate(url))
	for dropped(p.ctx, err) {
		res, err = chromedp.RunResponse(p.ctx, chromedp.Navigate(url))
	}
	p.arrives(res, err, status, address)
}

// typed goes to an address that may answer with anything.
func typed(url string) step {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		for {
			if out, err := chromedp.Navigate(url)(ctx, t); !dropped(ctx, err) {
				return out, err
			}
		}
	}
}

// dropped reports whether the browser has dropped a request because the machine's
// network has changed meanwhile, as it does when a container starts.
func dropped(ctx context.Context, err error) bool {
	return err != nil && strings.Contains(err.Error(), "ERR_NETWORK_CHANGED") && ctx.Err() == nil
}

// presses clicks on a button or a link that leads to a page with this address.
func (p *person) presses(label, address string) {
	p.t.Helper()
	p.navigates(200, address, press(label))
}

// press clicks on what a reader of the screen calls by the label.
func press(label string) step {
	return chromedp.Click(fmt.Sprintf(`//button[normalize-space()=%[1]q or @aria-label=%[1]q] | //a[normalize-space()=%[1]q] | //summary[normalize-space()=%[1]q]`, label))
}

// fill types into the field with the name.
func fill(name, text string) step {
	sel := chromedp.CSS(fmt.Sprintf(`input[name=%q]:not([type=hidden])`, name))
	return chromedp.Steps(chromedp.Clear(sel), chromedp.SendKeys(sel, text))
}

// signsIn signs in on the page of the sign-in and comes to the address.
func (p *person) signsIn(user, address string) {
	p.t.Helper()
	p.navigates(200, address, fill("user", user), fill("password", user), press("Sign in"))
}

// sees waits until the page shows the texts.
func (p *person) sees(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.waits("document.body && document.body.innerText.includes(" + quote(text) + ")")
	}
}

// lacks checks that the page does not show the texts.
func (p *person) lacks(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		if p.is("document.body.innerText.includes(" + quote(text) + ")") {
			p.t.Errorf("the page shows %q: %s", text, p.describe())
		}
	}
}

// waits waits until the expression is true in the page, whichever the tab shows by
// then.
func (p *person) waits(expression string) {
	p.t.Helper()
	for {
		_, err := chromedp.Run(p.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(pollEvery), chromedp.WithPollingTimeout(patience/2)))
		if err == nil {
			return
		}
		if _, left := errors.AsType[*cdproto.Error](err); !left || p.ctx.Err() != nil { // a navigation ends the poll
			p.t.Fatalf("%s: %v\nthe page is %s", expression, err, p.describe())
		}
	}
}

func (p *person) is(expression string) bool { p.t.Helper(); return eval[bool](p, "!!("+expression+")") }

// eval returns what the expression gives in the page.
func eval[T any](p *person, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v\nthe page is %s", expression, err, p.describe())
	}
	return v
}

// cookies returns all that the browser has.
func (p *person) cookies() []*network.Cookie {
	p.t.Helper()
	res, err := chromedp.CallBrowser(p.ctx, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID})
	if err != nil {
		p.t.Fatal(err)
	}
	return res.Cookies
}
