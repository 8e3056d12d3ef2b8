package mongo

import (
	"context"
	"net/url"
	"slices"
	"strings"

	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// schemeSRV is the scheme whose hosts the DNS names.
const schemeSRV = "mongodb+srv"

// uriOptions are the options that the driver knows, in lower case. It would
// ignore others.
var uriOptions = strings.Fields(`appname authmechanism authmechanismproperties authsource compressors connect connecttimeoutms
	directconnection enableoverloadretargeting heartbeatfrequencyms heartbeatintervalms journal loadbalanced localthresholdms
	maxadaptiveretries maxconnecting maxidletimems maxpoolsize minpoolsize replicaset retryreads retrywrites servermonitoringmode
	serverselectiontimeoutms sockettimeoutms srvmaxhosts srvservicename ssl sslcertificateauthorityfile sslclientcertificatekeyfile
	sslclientcertificatekeypassword sslinsecure timeoutms tls tlscafile tlscertificatefile tlscertificatekeyfile
	tlscertificatekeyfilepassword tlsdisablecertificaterevocationcheck tlsdisableocspendpointcheck tlsinsecure tlsprivatekeyfile
	w zlibcompressionlevel zstdcompressionlevel
	readconcernlevel readpreference readpreferencetags maxstaleness maxstalenessseconds`)

// secretOptions are those that may hold a secret.
var secretOptions = []string{"authmechanismproperties", "sslclientcertificatekeypassword", "tlscertificatekeyfilepassword"}

// target is what a URL says besides user, hosts and database.
type target struct {
	collection string
	srv        bool
	options    Options
	passed     url.Values // to the driver
}

func (t *target) params() *backends.Params {
	var p backends.Params
	p.Text(&t.collection, "collection", "The collection. The default is "+backends.DefaultName+".")
	p.Options(&t.options)
	t.passed = url.Values{}
	for _, name := range uriOptions {
		if strings.HasPrefix(name, "srv") && !t.srv {
			continue
		}
		p.Pass(t.passed, backends.Param{
			Name: name, Doc: "An option of MongoDB's own URLs.", Form: backends.FormText, AnyCase: true,
			Secret: slices.Contains(secretOptions, name), Repeated: name == "readpreferencetags",
		})
	}
	return &p
}

func init() {
	for _, scheme := range []string{"mongodb", schemeSRV} {
		t := target{srv: scheme == schemeSRV}
		backends.Register(scheme, openURL, t.params().List()...)
	}
}

// openURL returns a backend for a URL of the form
// mongodb://user:password@host:port/database?collection=name with further
// parameters of MongoDB. The backend's Close disconnects its client. With
// mongodb+srv it queries the DNS.
func openURL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	t := target{srv: u.Scheme == schemeSRV}
	if err := t.params().Parse(u); err != nil {
		return nil, err
	}
	own := *u
	own.RawQuery = t.passed.Encode()
	database := strings.TrimPrefix(own.Path, "/")
	if own.Host == "" || own.Opaque != "" || database == "" {
		return nil, badURL()
	}
	o := options.Client().ApplyURI(own.String())
	if o.Validate() != nil {
		return nil, badURL()
	}
	if !o.WriteConcern.Acknowledged() {
		return nil, model.NewError(model.ErrInvalid, "w=0 is not allowed: writes need an acknowledgement", nil)
	}
	client, err := mongodriver.Connect(o)
	if err != nil {
		return nil, badURL()
	}
	if t.collection == "" {
		t.collection = backends.DefaultName
	}
	b, err := New(client.Database(database), t.collection, &t.options)
	if err != nil {
		_ = client.Disconnect(context.Background())
		return nil, err
	}
	b.gate.Own(ownedClient{client})
	return b, nil
}

// badURL returns the ErrInvalid for a URL. It leaves out the parser's text,
// which may quote a password.
func badURL() error {
	return model.NewError(model.ErrInvalid, "the form is mongodb://user:password@host:port/database?collection=name, with further parameters of MongoDB", nil)
}
