package cli

import (
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/postgresstore"
	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	"github.com/boj/redistore"
	"github.com/gorilla/securecookie"
	gorilla "github.com/gorilla/sessions"
	"github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/adapters/gorillastore"
	"github.com/sojourn-go/sojourn/adapters/scsstore"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry"
)

// oldSite is a site on the sessions of another library. It signs in, and says who
// is signed in.
type oldSite struct {
	signIn, signOut, who http.HandlerFunc
}

// visit sends a request with the cookies, and returns the text and the new cookies.
func visit(t *testing.T, h http.Handler, cookies []*http.Cookie) (string, []*http.Cookie) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	defer func() { _ = res.Body.Close() }()
	return w.Body.String(), res.Cookies()
}

func scsProgram(store scs.Store) oldSite {
	m := scs.New()
	m.Store = store
	wrap := func(do func(w http.ResponseWriter, r *http.Request)) http.HandlerFunc {
		return m.LoadAndSave(http.HandlerFunc(do)).ServeHTTP
	}
	return oldSite{
		signIn:  wrap(func(_ http.ResponseWriter, r *http.Request) { m.Put(r.Context(), "user", "alice") }),
		signOut: wrap(func(_ http.ResponseWriter, r *http.Request) { _ = m.Destroy(r.Context()) }),
		who: wrap(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, m.GetString(r.Context(), "user"))
		}),
	}
}

func gorillaProgram(t *testing.T, store gorilla.Store) oldSite {
	t.Helper()
	with := func(do func(w http.ResponseWriter, r *http.Request, s *gorilla.Session)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			s, err := store.Get(r, "old")
			if err != nil {
				t.Error(err)
				return
			}
			do(w, r, s)
		}
	}
	save := func(w http.ResponseWriter, r *http.Request, s *gorilla.Session) {
		if err := s.Save(r, w); err != nil {
			t.Error(err)
		}
	}
	return oldSite{
		signIn: with(func(w http.ResponseWriter, r *http.Request, s *gorilla.Session) {
			s.Values["user"] = "alice"
			save(w, r, s)
		}),
		signOut: with(func(w http.ResponseWriter, r *http.Request, s *gorilla.Session) { s.Options.MaxAge = -1; save(w, r, s) }),
		who: with(func(w http.ResponseWriter, _ *http.Request, s *gorilla.Session) {
			user, _ := s.Values["user"].(string)
			_, _ = io.WriteString(w, user)
		}),
	}
}

// wantMoved moves a site whose library has stored sessions, and fails the test unless
// who was signed in still is, and who signed out is not. A run must print none of
// the secrets.
func wantMoved(t *testing.T, from string, before oldSite, after func(b expiry.ModelExpirySupport) oldSite) {
	t.Helper()
	const to = "sqlite:moved.db"
	env := environment{"SOJOURN_FROM_URL": from, "SOJOURN_TO_URL": to}
	args := []string{"migrate", "env:SOJOURN_FROM_", to, "--checkpoint", "moved.json", "--json"}
	_, stays := visit(t, before.signIn, nil)
	_, leaves := visit(t, before.signIn, nil)
	if len(stays) == 0 || len(leaves) == 0 {
		t.Fatal("the library before sent no cookie")
	}
	r := run(t, env, args...).want(t, exitDone, `"records":2`, `"equal":true`)
	visit(t, before.signOut, leaves)
	r2 := run(t, env, args...).want(t, exitDone, `"records":1`, `"equal":true`)
	for _, c := range append(stays, leaves...) {
		if strings.Contains(r.out+r.err+r2.out+r2.err, c.Value) {
			t.Error("a token was printed")
		}
	}
	now := after(openURL(t, to))
	if text, _ := visit(t, now.who, stays); text != "alice" {
		t.Errorf("who was signed in is now %q", text)
	}
	if text, _ := visit(t, now.who, leaves); text != "" {
		t.Errorf("who signed out is now %q", text)
	}
	_, again := visit(t, now.signIn, stays) // a change, which sends the cookie again
	if text, _ := visit(t, now.who, again); text != "alice" {
		t.Errorf("after a change the session is %q's", text)
	}
	visit(t, now.signOut, again)
	if text, _ := visit(t, now.who, again); text != "" {
		t.Errorf("after a sign-out the session is %q's", text)
	}
	run(t, env, "ls", "-u", "env:SOJOURN_FROM_").want(t, exitUsage, "only migrate reads")
	run(t, env, "migrate", to, "env:SOJOURN_FROM_").want(t, exitUsage, "only migrate reads")
}

func onSCS(t *testing.T) func(expiry.ModelExpirySupport) oldSite {
	t.Helper()
	return func(b expiry.ModelExpirySupport) oldSite {
		store, err := scsstore.New(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		return scsProgram(store)
	}
}

func redisClient(t *testing.T) (*redis.Client, string) {
	t.Helper()
	address := containers.Redis(t).URL
	o, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client, address
}

func TestMigrateReadsSCSInRedis(t *testing.T) {
	t.Chdir(t.TempDir())
	client, address := redisClient(t)
	prefix := freshName("scs[*]-") // signs that a pattern gives a meaning
	if err := client.Set(t.Context(), strings.Replace(prefix, "[*]", "*", 1)+"x", "of another program", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	wantMoved(t, "scs+"+address+"?prefix="+url.QueryEscape(prefix), scsProgram(goredisstore.NewWithPrefix(client, prefix)), onSCS(t))
}

// oldTable creates the table that a store of scs wants, with a session that has
// expired.
func oldTable(t *testing.T, driver, dsn string, statements ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func TestMigrateReadsSCSInSQLite(t *testing.T) {
	t.Chdir(t.TempDir())
	db := oldTable(t, "sqlite", "file:old.db",
		"create table sessions (token text primary key, data blob not null, expiry real not null)",
		"insert into sessions values ('old', x'00', julianday('2001-01-01'))")
	wantMoved(t, "scs+sqlite:old.db", scsProgram(sqlite3store.NewWithCleanupInterval(db, 0)), onSCS(t))
}

// freshSchema returns the URL of the PostgreSQL server, with a schema of its own.
func freshSchema(t *testing.T) string {
	t.Helper()
	address := containers.Postgres(t).URL
	schema := strings.ReplaceAll(freshName("own_"), "-", "_")
	oldTable(t, "pgx", address, "create schema "+schema)
	join := "?"
	if strings.Contains(address, "?") {
		join = "&"
	}
	return address + join + "search_path=" + schema
}

func TestMigrateReadsSCSInPostgreSQL(t *testing.T) {
	t.Chdir(t.TempDir())
	address := freshSchema(t)
	db := oldTable(t, "pgx", address,
		"create table sessions (token text primary key, data bytea not null, expiry timestamptz not null)",
		"insert into sessions values ('old', '', '2001-01-01')")
	wantMoved(t, "scs+"+address, scsProgram(postgresstore.NewWithCleanupInterval(db, 0)), onSCS(t))
}

func TestMigrateReadsRedistore(t *testing.T) {
	t.Chdir(t.TempDir())
	client, address := redisClient(t)
	o := client.Options()
	key, prefix := securecookie.GenerateRandomKey(32), freshName("session_")
	store, err := redistore.NewRediStore(2, o.Network, o.Addr, o.Username, o.Password, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	store.SetKeyPrefix(prefix)
	from := "redistore+" + address + "?prefix=" + prefix
	wantMoved(t, from, gorillaProgram(t, store), func(b expiry.ModelExpirySupport) oldSite {
		now, err := gorillastore.New(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		now.OldCookies = securecookie.CodecsFromPairs(key)
		return gorillaProgram(t, now)
	})

	// A key of another kind is left out, and its name is not printed.
	if err := client.LPush(t.Context(), prefix+"A-SECRET-ID", "x").Err(); err != nil {
		t.Fatal(err)
	}
	r := run(t, environment{"SOJOURN_FROM_URL": from}, "migrate", "env:SOJOURN_FROM_", "sqlite:other.db").want(t, exitDifferent, "1 records could not be copied")
	if strings.Contains(r.out+r.err, "A-SECRET-ID") {
		t.Errorf("a name was printed: %s", r.err)
	}
	run(t, environment{"SOJOURN_FROM_URL": from + "&encoding=xml"}, "migrate", "env:SOJOURN_FROM_", "sqlite:other.db").want(t, exitUsage, "encoding")
}

// TestMigrateReadsConnectRedis reads what connect-redis stores, which is a program
// for Node: keys and JSON are written here as its documentation has them.
func TestMigrateReadsConnectRedis(t *testing.T) {
	t.Chdir(t.TempDir())
	client, address := redisClient(t)
	prefix := freshName("sess-") + ":"
	expires := time.Now().UTC().Add(time.Hour).Truncate(time.Millisecond)
	value := `{"cookie":{"originalMaxAge":3600000,"expires":"` + expires.Format("2006-01-02T15:04:05.000Z") + `","httpOnly":true,"path":"/"},"user":"alice"}`
	ends := expires.Add(-time.Minute)
	long := strings.Repeat("/", 2000) // no legal id
	for id, ttl := range map[string]time.Duration{"with-ttl": time.Minute, "without-ttl": 0, long: 0} {
		if err := client.Set(t.Context(), prefix+id, value, ttl).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.PExpireAt(t.Context(), prefix+"with-ttl", ends).Err(); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "migrate", "connect+"+address+"?prefix="+url.QueryEscape(prefix), toURL, "--json").want(t, exitDone, `"records":3`, `"changes":3`)
	type visitor struct {
		User string `json:"user"`
	}
	store, err := expiry.NewStore[visitor](openURL(t, toURL), nil)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]time.Time{"with-ttl": ends, "without-ttl": expires, expiry.SafeID(long): expires} {
		item, err := store.Get(t.Context(), id)
		if err != nil || item.Value.User != "alice" || !item.ExpiresAt.Equal(want) {
			t.Errorf("%s: %+v until %v, %v; want alice until %v", id, item.Value, item.ExpiresAt, err, want)
		}
	}
}
