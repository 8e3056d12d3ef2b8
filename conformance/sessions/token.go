package sessions

import (
	"encoding/base64"
	"strings"

	"github.com/sojourn-go/sojourn/session"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func tokenCases() []Case {
	return group("Token",
		// Bug: gofiber/fiber CVE-2024-38513, cherrypy/cherrypy#709
		that("UnknownHandleIsNeverAdopted", func(c *C) {
			planted := base64.RawURLEncoding.EncodeToString([]byte("attackers-choice")) + "." + strings.Repeat("A", 43)
			same(c, len(planted), session.TokenLen, "the planted token's length")
			cl := &client{c: c, token: planted}
			cl.do(func(r *request) { r.empty(); r.set("v") })
			if cl.token == planted || handleOf(cl.token) == handleOf(planted) {
				c.Fatal("the planted token was adopted")
			}
			c.dead(planted)
		}),
		that("EveryByteIsChecked", func(c *C) {
			cl := c.newClient("v")
			for i := range len(cl.token) {
				b := []byte(cl.token)
				if b[i] == 'A' {
					b[i] = 'B'
				} else {
					b[i] = 'A'
				}
				c.dead(string(b))
			}
			// The last byte of either part has spare bits. A lax decoder ignores
			// them.
			for _, i := range []int{len(handleOf(cl.token)) - 1, len(cl.token) - 1} {
				for _, x := range alphabet {
					if b := []byte(cl.token); b[i] != byte(x) {
						b[i] = byte(x)
						c.dead(string(b))
					}
				}
			}
			c.alive(cl.token)
		}),
		that("DumpOfTheStoreOpensNothing", func(c *C) {
			cl := c.signedIn("alice")
			cl.do(func(r *request) { r.set("v") })
			dump := string(c.raw())
			handle, secret, _ := strings.Cut(cl.token, ".")
			if !strings.Contains(dump, handle) {
				c.Fatal("the dump does not have the row")
			}
			if strings.Contains(dump, secret) {
				c.Fatal("the dump has the secret")
			}
			raw, err := base64.RawURLEncoding.DecodeString(secret)
			c.ok(err, "decoding the secret")
			if strings.Contains(dump, string(raw)) {
				c.Fatal("the dump has the secret")
			}
			for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding} {
				if strings.Contains(dump, enc.EncodeToString(raw)) {
					c.Fatal("the dump has the secret")
				}
			}
			// The stored hash does not open the row.
			_, after, _ := strings.Cut(string(c.shown()), `"hash":"`)
			hash, _, _ := strings.Cut(after, `"`)
			b, err := base64.StdEncoding.DecodeString(hash)
			c.ok(err, "decoding the hash")
			same(c, len(b), 32, "bytes of the hash")
			c.dead(handle + "." + base64.RawURLEncoding.EncodeToString(b))
		}),
		that("WrongSecretIsAnonymousAndLogged", func(c *C) {
			cl, stranger := c.newClient("v"), c.newClient("w")
			_, secret, _ := strings.Cut(stranger.token, ".")
			c.dead(handleOf(cl.token) + "." + secret)
			if log := c.log.String(); !strings.Contains(log, handleOf(cl.token)) || strings.Contains(log, secret) {
				c.Fatalf("log: %s", log)
			}
			c.alive(cl.token)
		}),
	)
}
