package peers

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// startSpring starts the program of the folder spring. The situations take turns,
// so one process is enough for all of them.
func startSpring(t *testing.T) opener {
	t.Helper()
	var hold atomic.Pointer[func(string)]
	asked := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { (*hold.Load())(r.URL.Path) }))
	t.Cleanup(asked.Close)
	host := runSpring(t, asked.URL)
	return func(t *testing.T, f func(string)) site {
		t.Helper()
		hold.Store(&f)
		serve := func(r *http.Request) answer {
			r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", host
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return answer{}
			}
			return answerOf(res)
		}
		control := func(path string) string {
			a := serve(httptest.NewRequest(http.MethodGet, path, nil))
			if a.status != http.StatusOK {
				t.Errorf("%s: status %d", path, a.status)
			}
			return a.text
		}
		control("/store/clear")
		return site{
			cookie: "SESSION",
			serve:  serve,
			dump: func() []string {
				var found []string
				for _, key := range strings.Fields(control("/store/keys")) {
					id := key[strings.LastIndex(key, ":")+1:]
					found = append(found, id, base64.StdEncoding.EncodeToString([]byte(id)))
				}
				return found
			},
			age:  func(d time.Duration) { control(fmt.Sprintf("/store/age?seconds=%d", d/time.Second)) },
			fail: func() { control("/store/fail") },
		}
	}
}

// runSpring returns the program's host and port. The program ends with the test.
func runSpring(t *testing.T, hold string) string {
	t.Helper()
	java, jars := needSpring(t)
	server := containers.Redis(t)
	cmd := exec.CommandContext(t.Context(), java,
		"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-Djava.io.tmpdir="+t.TempDir(),
		"-Dredis="+server.URL, "-Dnamespace=peers-"+rand.Text(), fmt.Sprintf("-Didle=%d", idle/time.Second), "-Dhold="+hold,
		"-cp", filepath.Join(jars, "*"), filepath.Join("spring", "Probe.java"))
	var complaints strings.Builder
	cmd.Stderr = &complaints
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	port, err := bufio.NewReader(stdout).ReadString('\n')
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(complaints.String())
		}
	})
	if err != nil {
		t.Fatalf("the program does not start: %v", err)
	}
	t.Logf("Spring Session on %s", server)
	return "127.0.0.1:" + strings.TrimSpace(port)
}

// needSpring returns the path of java, and the folder into which make spring puts
// the jars. Without them it skips the test, and fails it under CI=true.
func needSpring(t *testing.T) (java, jars string) {
	t.Helper()
	list, err := os.ReadFile(filepath.Join("spring", "jars.sha256"))
	if err != nil {
		t.Fatal(err)
	}
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, _ := os.UserHomeDir()
		base = filepath.Join(home, ".cache")
	}
	jars = filepath.Join(base, "sojourn", fmt.Sprintf("spring-%x", sha256.Sum256(list))[:len("spring-")+12])
	java = "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java = filepath.Join(home, "bin", "java")
	}
	java, err = exec.LookPath(java)
	if err == nil {
		_, err = os.Stat(jars)
	}
	if err == nil {
		return java, jars
	}
	why := fmt.Sprintf("Java and the jars of Spring Session are not there: run make spring: %v", err)
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
	return "", ""
}
