package mongo

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestURLOpensStore(t *testing.T) {
	u, err := url.Parse(containers.MongoDB(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + databaseName
	query := u.Query()
	query.Set("collection", drivertest.Name())
	u.RawQuery = query.Encode()
	b := drivertest.OpenURL(t, u.String(), open(t, nil)).(*Backend)
	if err := b.Client().Ping(t.Context(), nil); err == nil {
		t.Error("Close did not disconnect the client that the URL made")
	}
}

func TestURLErrors(t *testing.T) {
	drivertest.RefuseURLs(t, "hunter2",
		"mongodb:", "mongodb:localhost", "mongodb:///db", "mongodb://u:hunter2@h", "mongodb://u:hunter2@h/", "mongodb://u:hunter2@h/db?nosuch=1",
		"mongodb://u:hunter2@h/db?collection=a%24b", "mongodb://u:hunter2@h/db?w=0", "mongodb://u:hunter2@h/db?w=1&W=2", "mongodb://u:hunter2@h/db?tls=maybe",
		"mongodb://u:hunter2@h/db?directConnection=true&loadBalanced=true", "mongodb+srv://u:hunter2@h:1/db")
}

func TestURLWithoutCollection(t *testing.T) {
	b, err := backends.Open(t.Context(), "mongodb://127.0.0.1:1,127.0.0.1:2/db?replicaSet=rs&readPreference=secondary")
	if err != nil {
		t.Fatal(err)
	}
	if got := b.(*Backend).Collection().Name(); got != backends.DefaultName {
		t.Errorf("the collection is %q, want %q", got, backends.DefaultName)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestURLTakesParams(t *testing.T) {
	values := map[string]string{
		"authmechanism": "SCRAM-SHA-256", "authmechanismproperties": "SERVICE_NAME:x", "compressors": "snappy", "connect": "automatic", "readconcernlevel": "local",
		"readpreference": "secondary", "readpreferencetags": "dc:east&readPreference=secondary", "minpoolsize": "1", "servermonitoringmode": "auto", "w": "majority", "maxstalenessseconds": "100&readPreference=secondary", "maxstaleness": "100&readPreference=secondary",
		"zlibcompressionlevel": "1", "zstdcompressionlevel": "1", "localthresholdms": "10", "heartbeatfrequencyms": "1000", "heartbeatintervalms": "1000",
		"loadbalanced": "false",
	}
	cert, key := keyPair(t)
	for name, value := range map[string]string{
		"tlscafile": cert, "sslcertificateauthorityfile": cert, "tlscertificatekeyfile": key, "sslclientcertificatekeyfile": key,
		"tlscertificatefile": cert + "&tlsprivatekeyfile=" + key, "tlsprivatekeyfile": key + "&tlscertificatefile=" + cert,
	} {
		values[name] = value
	}
	for _, p := range backends.ParamsOf("mongodb") {
		switch name := p.Name; {
		case values[name] != "" || p.Field != "":
		case strings.HasSuffix(name, "ms"), strings.HasSuffix(name, "size"), strings.HasPrefix(name, "max"):
			values[name] = "1000"
		case strings.HasPrefix(name, "tls"), strings.HasPrefix(name, "ssl"), strings.HasPrefix(name, "retry"),
			slices.Contains([]string{"directconnection", "journal", "enableoverloadretargeting"}, name):
			values[name] = "true"
		}
	}
	drivertest.TakesParams(t, "mongodb://ann:hunter2@127.0.0.1:1/db", values)
}

// keyPair writes a certificate, and a file with its key and the certificate.
func keyPair(t *testing.T) (certificate, key string) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	s.Close()
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	secret, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(t.TempDir(), "certificate"), filepath.Join(t.TempDir(), "key")
	both := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), public...)
	for name, data := range map[string][]byte{certificate: public, key: both} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

func TestURLReachesOptions(t *testing.T) {
	b, err := backends.Open(t.Context(), "mongodb://127.0.0.1:1/db?APPNAME=shop&grace_ttl=90s&queryable=true&labels=sid,principal")
	if err != nil {
		t.Fatal(err)
	}
	if d := b.(*Backend); d.grace != 90 || !d.queryable || len(b.Describe().Labels) != 2 {
		t.Errorf("grace %d, queryable %v, labels %v", d.grace, d.queryable, b.Describe().Labels)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestWrongPasswordIsNotPrinted(t *testing.T) {
	u, err := url.Parse(containers.MongoDB(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path = url.UserPassword("ann", "hunter2"), "/"+databaseName
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
