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

func init() {
	for _, scheme := range []string{"mongodb", "mongodb+srv"} {
		backends.Register(scheme, openURL)
	}
}

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

// openURL returns a backend for a URL of the form
// mongodb://user:password@host:port/database?collection=name with further
// parameters of MongoDB. The backend's Close disconnects its client. With
// mongodb+srv it queries the DNS.
func openURL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	own := *u
	query := own.Query()
	collection := query.Get("collection")
	if collection == "" {
		collection = backends.DefaultName
	}
	query.Del("collection")
	own.RawQuery = query.Encode()
	for name := range query {
		if !slices.Contains(uriOptions, strings.ToLower(name)) {
			return nil, badURL()
		}
	}
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
	b, err := New(client.Database(database), collection, nil)
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
