package browser

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// screenshots is the folder for the pictures of the pages; make screenshots sets it.
var screenshots = flag.String("screenshots", "", "write pictures of the pages into this folder")

// patience bounds one test, or one row of a long table. Nothing waits for it unless
// the test has failed.
const patience = 50 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	status := m.Run()
	if started.stop != nil {
		started.stop()
	}
	os.Exit(status)
}

// world is what the browser can reach: every host leads to this process, by http
// and by https.
type world struct {
	mu    sync.Mutex
	hosts map[string]http.Handler
	plain *httptest.Server
	tls   *httptest.Server
}

// ServeHTTP passes a request to its host, to that of its scheme alone, or to "*".
func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	h := w.hosts[r.Host]
	if h == nil && r.TLS == nil {
		h = w.hosts["http://"+r.Host]
	} else if h == nil {
		h = w.hosts["https://"+r.Host]
	}
	if h == nil {
		h = w.hosts["*"]
	}
	w.mu.Unlock()
	if h == nil {
		http.NotFound(out, r)
		return
	}
	h.ServeHTTP(out, r)
}

// serve gives a host to a handler, until the test ends or another one gets it. A
// name with a scheme is for that scheme alone.
func (w *world) serve(t *testing.T, host string, h http.Handler) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[host] = h
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.hosts, host)
	})
}

// started is the browser, one for all tests. Each person in a test has a context
// of their own in it, as a private window.
var started struct {
	sync.Once
	world *world
	ctx   context.Context
	stop  func()
	err   error
}

// start returns the world and the context of the running browser. Without a
// browser it skips the test, and fails it under CI=true.
func start(t *testing.T) (*world, context.Context) {
	t.Helper()
	path := find()
	if path == "" {
		lacking(t, "no Chromium or Chrome was found: run make browser, or set SOJOURN_BROWSER to its path")
	}
	started.Do(func() { started.err = launch(path) })
	if started.err != nil {
		t.Fatalf("the browser %s does not start: %v", path, started.err)
	}
	return started.world, started.ctx
}

// lacking skips a test that needs what the machine does not have.
func lacking(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// find returns the path of a browser, or "".
func find() string {
	if path := os.Getenv("SOJOURN_BROWSER"); path != "" {
		return path
	}
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}
	if runtime.GOOS == "darwin" {
		names = append(names, "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium")
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// flags are those of every browser here: nothing leaves the machine, and tabs in
// the background run as those in front.
func flags(path, profile string, w *world) []chromedp.ExecAllocatorOption {
	spki := sha256.Sum256(w.tls.Certificate().RawSubjectPublicKeyInfo)
	out := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.WindowSize(1280, 900),
		chromedp.Flag("host-resolver-rules", fmt.Sprintf("MAP *:443 %s, MAP *:80 %s", w.tls.Listener.Addr(), w.plain.Listener.Addr())),
		chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(spki[:])),
		chromedp.Flag("disable-features", "HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,Translate,OptimizationHints,MediaRouter"),
		chromedp.Flag("headless", "new"),
	}
	if os.Geteuid() == 0 {
		out = append(out, chromedp.NoSandbox)
	}
	for _, name := range []string{
		"disable-gpu", "disable-quic", "no-first-run", "no-default-browser-check", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-default-apps", "disable-extensions", "disable-background-timer-throttling", "disable-backgrounding-occluded-windows",
		"disable-renderer-backgrounding", "disable-dev-shm-usage", "mute-audio", "hide-scrollbars",
	} {
		out = append(out, chromedp.Flag(name, true))
	}
	return out
}

func launch(path string) error {
	w := &world{hosts: map[string]http.Handler{}}
	w.plain = httptest.NewServer(w)
	w.tls = httptest.NewUnstartedServer(w)
	w.tls.Config.ErrorLog = log.New(os.Stderr, "https: ", 0)
	w.tls.StartTLS()
	profile, err := os.MkdirTemp("", "sojourn-browser")
	if err != nil {
		return err
	}
	// Chromium's own default: private windows block the cookies of third parties, and
	// others do not. Some distributions always block them.
	preferences := filepath.Join(profile, "Default", "Preferences")
	if err := os.MkdirAll(filepath.Dir(preferences), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(preferences, []byte(`{"profile": {"cookie_controls_mode": 2}}`), 0o600); err != nil {
		return err
	}
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), flags(path, profile, w)...)
	ctx, cancel := chromedp.NewContext(allocator)
	started.world, started.ctx = w, ctx
	started.stop = func() {
		_ = chromedp.Cancel(ctx)
		cancel()
		endAllocator()
		w.plain.CloseClientConnections()
		w.tls.CloseClientConnections()
		_ = os.RemoveAll(profile)
	}
	return chromedp.Do(ctx)
}

// cache is the Makefile's folder for what is downloaded.
func cache(parts ...string) string {
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, _ := os.UserHomeDir()
		base = filepath.Join(home, ".cache")
	}
	return filepath.Join(append([]string{base, "sojourn"}, parts...)...)
}

func quote(s string) string { return "`" + strings.ReplaceAll(s, "`", "\\`") + "`" }
