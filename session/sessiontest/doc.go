// Package sessiontest helps to test programs with sessions. It has a clock that
// moves when told, requests with a session, a backend that counts, holds, fails
// and changes calls, and a simulated browser.
//
//	r := sessiontest.Request(t, r, sessiontest.As("alice"), sessiontest.With(Cart, c))
//
//	kit := sessiontest.New(t, nil)
//	b := sessiontest.NewBrowser(handler, &sessiontest.BrowserOptions{Clock: kit.Clock})
//	answer := b.NewTab().Open("https://shop.example/")
package sessiontest
