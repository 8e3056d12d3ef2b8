package postgres

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestURLOpensStore(t *testing.T) {
	for _, scheme := range []string{"postgres", "postgresql"} {
		u, err := url.Parse(containers.Postgres(t).URL)
		if err != nil {
			t.Fatal(err)
		}
		query := u.Query()
		query.Set("table", drivertest.Name())
		u.Scheme, u.RawQuery = scheme, query.Encode()
		b := drivertest.OpenURL(t, u.String(), open(t, nil)).(*Backend)
		if err := b.Client().(*pgxpool.Pool).Ping(t.Context()); err == nil {
			t.Error("Close did not close the pool that the URL made")
		}
	}
}

func TestURLErrors(t *testing.T) {
	drivertest.RefuseURLs(t, "hunter2",
		"postgres:", "postgres:localhost", "postgres:///db", "postgres://u:hunter2@h", "postgres://u:hunter2@h/", "postgres://u:hunter2@h/db?nosuch=1",
		"postgres://u:hunter2@h/db?table=a%00b", "postgres://u:hunter2@h/db?sslmode=maybe", "postgres://u:hunter2@h/db?pool_max_conns=0",
		"postgres://u:hunter2@h/db?connect_timeout=soon", "postgres://u:hunter2@h/db?default_query_exec_mode=x", "postgres://u:hunter2@h:0/db",
		"postgres://u:hunter2@h/db?max_value=-1", "postgres://u:hunter2@h/db?labels=A", "postgres://u:hunter2@h/db?sslrootcert=/no/hunter2")
}

func TestURLTakesParams(t *testing.T) {
	values := map[string]string{
		"sslmode": "prefer", "sslsni": "0", "sslnegotiation": "postgres", "target_session_attrs": "read-write", "connect_timeout": "3", "port": "5433",
		"default_query_exec_mode": "exec", "statement_cache_capacity": "10", "description_cache_capacity": "10", "pool_max_conns": "3",
		"pool_min_conns": "0", "pool_min_idle_conns": "0", "channel_binding": "prefer", "require_auth": "scram-sha-256", "min_protocol_version": "3.0",
		"max_protocol_version": "3.2",
	}
	certificate, key, services := files(t)
	values["service"], values["servicefile"] = "x&servicefile="+services, services
	values["sslcert"], values["sslkey"], values["sslrootcert"] = certificate+"&sslkey="+key, key+"&sslcert="+certificate, certificate
	for _, p := range backends.ParamsOf("postgres") {
		switch name := p.Name; {
		case values[name] != "" || p.Field != "":
		case name == "pool_max_conn_lifetime", name == "pool_max_conn_idle_time", name == "pool_health_check_period", name == "pool_max_conn_lifetime_jitter":
			values[name] = "30s"
		default:
			values[name] = "x"
		}
	}
	drivertest.TakesParams(t, "postgres://ann:hunter2@127.0.0.1:1/db", values)
}

// TestURLKeepsSpaces has a setting of the session, and a plus sign.
func TestURLKeepsSpaces(t *testing.T) {
	b, err := backends.Open(t.Context(), "postgres://ann@127.0.0.1:1/db?options=-c%20geqo%3Doff&application_name=a+b%2Bc")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	got := b.(*Backend).Client().(*pgxpool.Pool).Config().ConnConfig.RuntimeParams
	if got["options"] != "-c geqo=off" || got["application_name"] != "a b+c" {
		t.Errorf("pgx has %q", got)
	}
}

// files writes a certificate, its key, and a file of services.
func files(t *testing.T) (certificate, key, services string) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	s.Close()
	secret, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	return write("certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
		write("key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
		write("services", []byte("[x]\nhost=127.0.0.1\n"))
}

func TestURLReachesOptions(t *testing.T) {
	b, err := backends.Open(t.Context(), "postgres://ann@a:1,b:2/db?labels=sid,principal&max_value=99&schema=other&search_path=x&pool_max_conns=3")
	if err != nil {
		t.Fatal(err)
	}
	own := b.(*Backend)
	config := own.Client().(*pgxpool.Pool).Config()
	if own.place.table != backends.DefaultName || own.place.schema != "other" || len(b.Describe().Labels) != 2 || b.Describe().MaxValue != 99 {
		t.Errorf("%+v, %+v", own.place, b.Describe())
	}
	if config.MaxConns != 3 || config.ConnConfig.ConnectTimeout != connectLimit || config.ConnConfig.RuntimeParams["search_path"] != "x" ||
		config.ConnConfig.RuntimeParams["table"] != "" || config.ConnConfig.RuntimeParams["labels"] != "" {
		t.Errorf("%+v", config.ConnConfig.RuntimeParams)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestTimeToConnect has the time from each place that may say it.
func TestTimeToConnect(t *testing.T) {
	services := filepath.Join(t.TempDir(), "services")
	if err := os.WriteFile(services, []byte("[slow]\nhost=a\ndbname=db\nconnect_timeout=60\n[plain]\nhost=a\ndbname=db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		environment map[string]string
		query       string
		want        time.Duration
	}{
		{nil, "", connectLimit},
		{nil, "?connect_timeout=3", 3 * time.Second},
		{map[string]string{"PGCONNECT_TIMEOUT": "30"}, "", 30 * time.Second},
		{map[string]string{"PGCONNECT_TIMEOUT": "30"}, "?connect_timeout=3", 3 * time.Second},
		{map[string]string{"PGSERVICE": "slow", "PGSERVICEFILE": services}, "", time.Minute},
		{map[string]string{"PGSERVICEFILE": services}, "?service=slow", time.Minute},
		{map[string]string{"PGSERVICEFILE": services}, "?service=plain", connectLimit},
	} {
		for _, name := range []string{"PGCONNECT_TIMEOUT", "PGSERVICE", "PGSERVICEFILE"} {
			t.Setenv(name, test.environment[name])
		}
		b, err := backends.Open(t.Context(), "postgres://ann@a/db"+test.query)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.(*Backend).Client().(*pgxpool.Pool).Config().ConnConfig.ConnectTimeout; got != test.want {
			t.Errorf("%v %q: %v, want %v", test.environment, test.query, got, test.want)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWrongUserIsNotPrinted(t *testing.T) {
	u, err := url.Parse(containers.Postgres(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("nobody", "hunter2")
	b, err := backends.Open(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	err = b.(*Backend).Ping(t.Context())
	drivertest.WantKind(t, err, model.ErrUnavailable)
	drivertest.NotPrinted(t, err, "hunter2")
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
