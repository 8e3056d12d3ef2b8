package deploy

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build builds a program of the repository, with the flags of the tests: other ones
// would compile all clients again.
func build(t *testing.T, dir, pkg string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, pkg)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// TestTheProgramsRunAsTheManifestsSay runs both with the arguments of their manifests,
// on files instead of Redis, and asks for what the probes ask.
func TestTheProgramsRunAsTheManifestsSay(t *testing.T) {
	_, texts := manifests(t)
	c, err := read(texts...)
	if err != nil {
		t.Fatal(err)
	}
	config := c.configs["webapp"].Data
	if config["SOJOURN_URL"] == "" || config["SOJOURN_PASSWORD_FILE"] == "" {
		t.Fatal("the ConfigMap names no store")
	}
	env := []string{"SOJOURN_URL=file:" + filepath.Join(t.TempDir(), "data")}

	app := c.deployments[0].Spec.Template.Spec.Containers[0]
	args := strings.Split(strings.Replace(strings.Join(app.Args, "\n"), "0.0.0.0:8080", "127.0.0.1:0", 1), "\n")
	cmd := exec.CommandContext(t.Context(), build(t, "../../..", "./examples/webapp"), args...)
	cmd.Env, cmd.Cancel = env, func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	at := strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
	if err != nil || !strings.HasPrefix(at, "http://127.0.0.1:") {
		t.Fatalf("the web app printed %q, %v", line, err)
	}
	res, err := get(t.Context(), at+app.ReadinessProbe.HTTPGet.Path)
	if err != nil || res != http.StatusOK {
		t.Errorf("the probe got %d, %v", res, err)
	}
	if err := cmd.Cancel(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the web app ended with %v", err)
	}

	job := c.crons[0].Spec.JobTemplate.Spec.Template.Spec.Containers[0]
	sweep := exec.CommandContext(t.Context(), build(t, "../../../cmd/sojourn", "."), job.Args...)
	sweep.Env = env
	text, err := sweep.Output()
	var swept struct {
		Removed *int `json:"removed"`
	}
	if err != nil || json.Unmarshal(text, &swept) != nil || swept.Removed == nil {
		t.Errorf("the sweeper printed %q, %v", text, err)
	}
}

func get(ctx context.Context, url string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode, err
}
