package mongo

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

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
	p.Name(&t.collection, "collection", "The collection.")
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
	if own.Host == "" || own.Opaque != "" {
		return nil, badURL()
	}
	if database == "" {
		return nil, model.NewError(model.ErrInvalid, "the URL has no database: "+form, nil)
	}
	if !t.srv {
		if _, err := backends.Hosts(u, nil, "27017"); err != nil {
			return nil, err
		}
	}
	o := options.Client().ApplyURI(own.String())
	if o.Validate() != nil {
		return nil, t.culprit()
	}
	t.limit(o)
	if !o.WriteConcern.Acknowledged() {
		return nil, model.NewError(model.ErrInvalid, "w=0 is not allowed: writes need an acknowledgement", nil)
	}
	client, err := mongodriver.Connect(o)
	if err != nil {
		return nil, badURL()
	}
	b, err := New(client.Database(database), t.collection, &t.options)
	if err != nil {
		_ = client.Disconnect(context.Background())
		return nil, err
	}
	b.gate.Own(ownedClient{client})
	return b, nil
}

// The time limits of a client that a URL makes, unless the URL gives others. The
// driver waits for a server for 30 seconds and for an answer without end.
const (
	selectionLimit = 5 * time.Second
	callLimit      = 30 * time.Second // of a call whose context has no deadline
)

func (t *target) limit(o *options.ClientOptions) {
	if o.ServerSelectionTimeout == nil {
		o.SetServerSelectionTimeout(selectionLimit)
	}
	if o.ConnectTimeout == nil {
		o.SetConnectTimeout(selectionLimit)
	}
	if o.Timeout == nil {
		limit := callLimit
		if n, err := strconv.Atoi(t.passed.Get("sockettimeoutms")); err == nil && n > 0 { // which the driver ignores
			limit = time.Duration(n) * time.Millisecond
		}
		o.SetTimeout(limit)
	}
}

// culprit names the parameter that the driver refuses, without the driver's text,
// which may quote a password.
func (t *target) culprit() error {
	for _, name := range slices.Sorted(maps.Keys(t.passed)) {
		alone := url.URL{Scheme: "mongodb", Host: "localhost", Path: "/db", RawQuery: url.Values{name: t.passed[name]}.Encode()}
		if needsAnother(name) || options.Client().ApplyURI(alone.String()).Validate() == nil {
			continue
		}
		return model.NewError(model.ErrInvalid, "MongoDB's driver refuses the value of the parameter "+strconv.Quote(name), nil)
	}
	if t.srv {
		return model.NewError(model.ErrInvalid, "the DNS has no SRV records of a MongoDB cluster for the URL's host, or the URL has a port or several hosts; "+form, nil)
	}
	return badURL()
}

// needsAnother reports whether the parameter is refused without another one.
func needsAnother(name string) bool {
	return strings.HasPrefix(name, "auth") || strings.HasPrefix(name, "maxstaleness") || strings.HasPrefix(name, "tls") && strings.HasSuffix(name, "file") ||
		name == "readpreferencetags"
}

// badURL returns the ErrInvalid for a URL. It leaves out the parser's text,
// which may quote a password.
func badURL() error {
	return model.NewError(model.ErrInvalid, form, nil)
}

const form = "the form is mongodb://user:password@host:port/database?collection=name, with further parameters of MongoDB"
