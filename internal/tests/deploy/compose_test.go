package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// compose loads a file as compose does: with its schema, and without a variable of
// this machine.
func compose(t *testing.T, text []byte) (*types.Project, error) {
	t.Helper()
	dir, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml"), Content: text}},
		Environment: types.Mapping{},
	})
}

// services returns what is wrong with the services of a project.
func services(p *types.Project) (all []string) {
	for name, s := range p.Services {
		if s.User == "" || strings.HasPrefix(s.User, "0") || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			all = append(all, name+": the service may do too much")
		}
		for other, d := range s.DependsOn {
			if o, ok := p.Services[other]; !ok || d.Condition == types.ServiceConditionHealthy && o.HealthCheck == nil {
				all = append(all, name+": "+other+" has no health check")
			}
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				all = append(all, fmt.Sprint(name, ": the port ", port.Published, " is open to the network"))
			}
		}
		if s.Build != nil {
			if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
				all = append(all, name+": "+err.Error())
			}
			if _, err := os.Stat(filepath.Join(s.Build.Context, *s.Build.Args["FOLDER"], *s.Build.Args["PACKAGE"], "main.go")); err != nil {
				all = append(all, name+": "+err.Error())
			}
		}
	}
	return all
}

func TestCompose(t *testing.T) {
	text, err := os.ReadFile(folder + "compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := compose(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Services) != 3 {
		t.Errorf("%d services, want the app, the sweeper and the store", len(p.Services))
	}
	for _, fault := range services(p) {
		t.Error(fault)
	}
	for _, one := range [][2]string{
		{"read_only: true", "readonly: true"},
		{"read_only: true", "read_only: false"},
		{"cap_drop: [ALL]", "cap_drop: []"},
		{"condition: service_healthy", "condition: healthy"},
		{"healthcheck:", "x-healthcheck:"},
		{"127.0.0.1:8080:8080", "8080:8080"},
		{"networks: [front, store]", "networks: [front, stores]"},
		{"./examples/webapp", "./examples/shop"},
		{"dockerfile: deploy/Containerfile", "dockerfile: Containerfile"},
	} {
		wrong := strings.Replace(string(text), `PACKAGE: "`+one[0], `PACKAGE: "`+one[1], 1)
		if wrong == string(text) {
			wrong = strings.Replace(string(text), one[0], one[1], 1)
		}
		if wrong == string(text) {
			t.Errorf("%q is not in the file", one[0])
			continue
		}
		if p, err := compose(t, []byte(wrong)); err == nil && len(services(p)) == 0 {
			t.Errorf("%q instead of %q was not found", one[1], one[0])
		}
	}
}
