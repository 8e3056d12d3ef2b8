package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	yaml3 "go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const folder = "../../../deploy/"

// cluster is what manifests make.
type cluster struct {
	deployments []*appsv1.Deployment
	crons       []*batchv1.CronJob
	services    []*corev1.Service
	budgets     []*policyv1.PodDisruptionBudget
	configs     map[string]*corev1.ConfigMap
	secrets     map[string]*corev1.Secret
}

// add decodes one document into the type of its kind. An unknown field is an error,
// as at a server that validates strictly.
func (c *cluster) add(doc []byte) error {
	var head struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return err
	}
	switch head.APIVersion + " " + head.Kind {
	case "apps/v1 Deployment":
		return into(doc, &c.deployments)
	case "batch/v1 CronJob":
		return into(doc, &c.crons)
	case "v1 Service":
		return into(doc, &c.services)
	case "policy/v1 PodDisruptionBudget":
		return into(doc, &c.budgets)
	case "v1 ConfigMap":
		var one corev1.ConfigMap
		err := yaml.UnmarshalStrict(doc, &one)
		c.configs[one.Name] = &one
		return err
	case "v1 Secret":
		var one corev1.Secret
		err := yaml.UnmarshalStrict(doc, &one)
		c.secrets[one.Name] = &one
		return err
	}
	return fmt.Errorf("the test knows no %s of %s: add its type", head.Kind, head.APIVersion)
}

func into[T any](doc []byte, list *[]*T) error {
	one := new(T)
	*list = append(*list, one)
	return yaml.UnmarshalStrict(doc, one)
}

// read decodes all documents of texts.
func read(texts ...[]byte) (*cluster, error) {
	c := &cluster{configs: map[string]*corev1.ConfigMap{}, secrets: map[string]*corev1.Secret{}}
	for _, text := range texts {
		for d := yaml3.NewDecoder(bytes.NewReader(text)); ; {
			var node yaml3.Node
			err := d.Decode(&node)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			doc, err := yaml3.Marshal(&node)
			if err == nil {
				err = c.add(doc)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

func manifests(t *testing.T) (names []string, texts [][]byte) {
	t.Helper()
	names, err := filepath.Glob(folder + "kubernetes/*")
	if err != nil || len(names) == 0 {
		t.Fatal("no manifests", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	return names, texts
}

// faults returns what is wrong with pods and with names that manifests refer to.
func (c *cluster) faults() (all []string) {
	bad := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	labels := []map[string]string{}
	for _, d := range c.deployments {
		pod := &d.Spec.Template
		labels = append(labels, pod.Labels)
		if !covers(pod.Labels, d.Spec.Selector.MatchLabels) {
			bad("%s: the selector does not find its pods", d.Name)
		}
		for i := range pod.Spec.Containers {
			one := &pod.Spec.Containers[i]
			if one.LivenessProbe == nil || one.ReadinessProbe == nil || one.StartupProbe == nil {
				bad("%s: a probe is missing", one.Name)
				continue
			}
			for _, p := range []*corev1.Probe{one.LivenessProbe, one.ReadinessProbe, one.StartupProbe} {
				if p.HTTPGet == nil || !slices.ContainsFunc(one.Ports, func(port corev1.ContainerPort) bool { return port.Name == p.HTTPGet.Port.StrVal }) {
					bad("%s: a probe asks a port that is not named", one.Name)
				}
			}
		}
		c.pod(d.Name, &pod.Spec, bad)
	}
	for _, j := range c.crons {
		if j.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent || j.Spec.JobTemplate.Spec.ActiveDeadlineSeconds == nil {
			bad("%s: runs may overlap or never end", j.Name)
		}
		c.pod(j.Name, &j.Spec.JobTemplate.Spec.Template.Spec, bad)
	}
	for _, s := range c.services {
		if !slices.ContainsFunc(labels, func(l map[string]string) bool { return covers(l, s.Spec.Selector) }) {
			bad("%s: the service finds no pods", s.Name)
		}
	}
	for _, b := range c.budgets {
		if !slices.ContainsFunc(labels, func(l map[string]string) bool { return covers(l, b.Spec.Selector.MatchLabels) }) {
			bad("%s: the budget finds no pods", b.Name)
		}
	}
	return all
}

func covers(labels, selector map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return len(selector) > 0
}

func is(b *bool, want bool) bool { return b != nil && *b == want }

// pod looks for what the standard "restricted" of Kubernetes wants, and more.
func (c *cluster) pod(name string, p *corev1.PodSpec, bad func(string, ...any)) {
	s := p.SecurityContext
	if s == nil || !is(s.RunAsNonRoot, true) || s.RunAsUser == nil || *s.RunAsUser == 0 || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		bad("%s: the pod may run as root, or without seccomp", name)
	}
	if !is(p.AutomountServiceAccountToken, false) {
		bad("%s: the pod gets a token of the cluster", name)
	}
	volumes := map[string]bool{}
	for _, v := range p.Volumes {
		volumes[v.Name] = true
		if v.Secret == nil || c.secrets[v.Secret.SecretName] == nil {
			bad("%s: no Secret is there for the volume %s", name, v.Name)
		}
	}
	for i := range p.Containers {
		one := &p.Containers[i]
		s := one.SecurityContext
		if s == nil || !is(s.AllowPrivilegeEscalation, false) || !is(s.ReadOnlyRootFilesystem, true) || s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			bad("%s: the container may do too much", one.Name)
		}
		if one.Resources.Limits.Memory().IsZero() || one.Resources.Requests.Cpu().IsZero() || strings.HasSuffix(one.Image, ":latest") || !strings.Contains(one.Image, ":") {
			bad("%s: limits or the version of the image are missing", one.Name)
		}
		for _, from := range one.EnvFrom {
			if from.ConfigMapRef == nil || c.configs[from.ConfigMapRef.Name] == nil {
				bad("%s: a ConfigMap of the environment is missing", one.Name)
				continue
			}
			file := c.configs[from.ConfigMapRef.Name].Data["SOJOURN_PASSWORD_FILE"]
			if !slices.ContainsFunc(one.VolumeMounts, func(m corev1.VolumeMount) bool {
				return volumes[m.Name] && m.ReadOnly && m.MountPath == filepath.Dir(file)
			}) {
				bad("%s: the file of the password is not mounted", one.Name)
			}
		}
	}
}

func TestManifests(t *testing.T) {
	names, texts := manifests(t)
	c, err := read(texts...)
	if err != nil {
		t.Fatalf("%v: %v", names, err)
	}
	if len(c.deployments) != 1 || len(c.crons) != 1 || len(c.services) != 1 || len(c.configs) != 1 || len(c.secrets) != 1 {
		t.Fatalf("%+v: an application, a sweeper or what they need is missing", c)
	}
	for _, fault := range c.faults() {
		t.Error(fault)
	}
}

// TestManifestsWithMistakes makes one mistake after the other, and each is found.
func TestManifestsWithMistakes(t *testing.T) {
	_, texts := manifests(t)
	whole := string(bytes.Join(texts, []byte("\n---\n")))
	for _, one := range [][2]string{
		{"livenessProbe:", "liveProbe:"},
		{"path: /static/style.css, port: http", "path: /static/style.css, port: web"},
		{"runAsUser: 65532", "runAsUser: 0"},
		{"runAsNonRoot: true", "runAsNonRoot: yes please"},
		{"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"},
		{"allowPrivilegeEscalation: false", ""},
		{"drop: [ALL]", "drop: [NET_RAW]"},
		{"automountServiceAccountToken: false", "automountServiceAccountToken: true"},
		{"limits: {memory: 256Mi}", "limits: {}"},
		{"limits: {memory: 256Mi}", "limits: {memory: much}"},
		{"configMapRef: {name: webapp}", "configMapRef: {name: webapps}"},
		{"secretName: webapp", "secretName: other"},
		{"mountPath: /run/secrets/sojourn", "mountPath: /run/secrets"},
		{"matchLabels: {app.kubernetes.io/name: webapp}", "matchLabels: {app.kubernetes.io/name: shop}"},
		{"selector: {app.kubernetes.io/name: webapp}", "selector: {app.kubernetes.io/name: shop}"},
		{"concurrencyPolicy: Forbid", "concurrencyPolicy: Allow"},
		{"kind: CronJob", "kind: Cronjob"},
		{"webapp:1.0.0", "webapp"},
	} {
		text := strings.Replace(whole, one[0], one[1], 1)
		if text == whole {
			t.Errorf("%q is not in the manifests", one[0])
			continue
		}
		if c, err := read([]byte(text)); err == nil && len(c.faults()) == 0 {
			t.Errorf("%q instead of %q was not found", one[1], one[0])
		}
	}
}
