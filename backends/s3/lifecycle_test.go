package s3

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// ruleXML returns lifecycle rules in their form on the wire:
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleRule.html
func ruleXML(inner string) string {
	return `<LifecycleConfiguration><Rule><ID>theirs</ID><Status>Enabled</Status>` + inner + `</Rule></LifecycleConfiguration>`
}

// TestLifecycleRules has rules of other programs. CreateStorage refuses rules
// that would end or hide records.
func TestLifecycleRules(t *testing.T) {
	const days = "<Expiration><Days>30</Days></Expiration>"
	for name, test := range map[string]struct {
		rules string
		level driver.CheckLevel
	}{
		"none":                   {"", driver.CheckRight},
		"all objects":            {ruleXML("<Filter></Filter>" + days), driver.CheckUnsafe},
		"all objects, old form":  {ruleXML("<Prefix></Prefix>" + days), driver.CheckUnsafe},
		"our prefix":             {ruleXML("<Filter><Prefix>app/</Prefix></Filter>" + days), driver.CheckUnsafe},
		"our records":            {ruleXML("<Filter><Prefix>app/r/i-</Prefix></Filter>" + days), driver.CheckUnsafe},
		"our index":              {ruleXML("<Filter><And><Prefix>app/l/</Prefix><ObjectSizeLessThan>100</ObjectSizeLessThan></And></Filter>" + days), driver.CheckUnsafe},
		"at a date":              {ruleXML("<Filter></Filter><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>"), driver.CheckUnsafe},
		"small objects of all":   {ruleXML("<Filter><ObjectSizeLessThan>128</ObjectSizeLessThan></Filter>" + days), driver.CheckUnsafe},
		"an archive":             {ruleXML("<Filter></Filter><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>"), driver.CheckUnsafe},
		"another storage class":  {ruleXML("<Filter></Filter><Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"), driver.CheckWarning},
		"another prefix":         {ruleXML("<Filter><Prefix>logs/</Prefix></Filter>" + days), driver.CheckRight},
		"a store beside":         {ruleXML("<Filter><Prefix>app2/</Prefix></Filter>" + days), driver.CheckRight},
		"test objects":           {ruleXML("<Filter><Prefix>app/p/</Prefix></Filter>" + days), driver.CheckRight},
		"tagged objects":         {ruleXML("<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter>" + days), driver.CheckRight},
		"tombstones":             {ruleXML("<Filter><And><Prefix>app/r/</Prefix><ObjectSizeLessThan>128</ObjectSizeLessThan></And></Filter>" + days), driver.CheckRight},
		"noncurrent versions":    {ruleXML("<Filter></Filter><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>"), driver.CheckRight},
		"unfinished uploads":     {ruleXML("<Filter></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"), driver.CheckRight},
		"a disabled rule":        {strings.ReplaceAll(ruleXML("<Filter></Filter>"+days), "Enabled", "Disabled"), driver.CheckRight},
		"ours without its limit": {strings.ReplaceAll(ruleXML("<Filter><Prefix>app/r/</Prefix></Filter>"+days), "theirs", tombstoneRuleID), driver.CheckUnsafe},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, quirks{})
			f.lifecycle = test.rules
			b := newBackend(t, f.client(t), "carts", "app", nil)
			checks, err := b.Check(t.Context())
			if err != nil || levels(checks)["lifecycle rules"] != test.level {
				t.Fatalf("%+v, %v; want %v", checks, err, test.level)
			}
			err = b.CreateStorage(t.Context())
			if test.level != driver.CheckUnsafe {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			drivertest.WantKind(t, err, model.ErrUnsupported)
			if keys := f.keys(); len(keys) > 0 {
				t.Errorf("left %q", keys)
			}
			err = newBackend(t, f.client(t), "carts", "app", &Options{AllowLifecycle: true}).CreateStorage(t.Context())
			if refused := err != nil; refused != (name == "ours without its limit") {
				t.Errorf("with AllowLifecycle: %v", err)
			}
		})
	}
}

// TestHiddenRules has a server that does not show the rules, or has none.
func TestHiddenRules(t *testing.T) {
	for code, test := range map[string]struct {
		status int
		level  driver.CheckLevel
	}{codeDenied: {403, driver.CheckUnknown}, codeNotImplemented: {501, driver.CheckRight}, codeNotAllowed: {405, driver.CheckUnknown}} {
		f := newFake(t, quirks{ignoreIfMatch: true})
		f.answers(func(op, _ string) *answer {
			if op == "GET bucket" {
				return &answer{status: test.status, code: code}
			}
			return nil
		})
		b := newBackend(t, f.client(t), "carts", "app", nil)
		checks, err := b.Check(t.Context())
		if err != nil || levels(checks)["lifecycle rules"] != test.level || levels(checks)["versions"] != driver.CheckUnknown {
			t.Errorf("%s: %+v, %v", code, checks, err)
		}
		if err := b.CreateStorage(t.Context()); err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// TestTombstoneRule lets CreateStorage add its rule. Older versions of Ceph read
// only the prefix and the tags of a filter, so that the rule would remove every
// record: "S3 bucket lifecycle" of the developer guide on
// https://docs.redhat.com/en/documentation/Red_Hat_Ceph_Storage/4
func TestTombstoneRule(t *testing.T) {
	dropSize := func(put string) string {
		return strings.ReplaceAll(put, "<ObjectSizeLessThan>128</ObjectSizeLessThan>", "")
	}
	theirs := ruleXML("<Filter><Prefix>logs/</Prefix></Filter><Expiration><Days>7</Days></Expiration>")
	for name, test := range map[string]struct {
		quirks quirks
		before string
		want   error
		has    []string // of the rules afterwards
	}{
		"added":                  {quirks{ignoreIfMatch: true}, "", nil, []string{"<ObjectSizeLessThan>128</ObjectSizeLessThan>", "<Status>Enabled</Status>", "<Prefix>app/r/</Prefix>"}},
		"needless":               {quirks{}, "", nil, nil},
		"a server without sizes": {quirks{ignoreIfMatch: true, keepRules: dropSize}, "", model.ErrUnsupported, []string{"<Status>Disabled</Status>"}},
		"other rules":            {quirks{ignoreIfMatch: true}, theirs, model.ErrUnsupported, []string{theirs}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, test.quirks)
			f.lifecycle = test.before
			b := newBackend(t, f.client(t), "carts", "app", &Options{TombstoneRule: true})
			for range 2 {
				if err := b.CreateStorage(t.Context()); model.Kind(err) != test.want {
					t.Fatalf("got %v, want %v", err, test.want)
				}
			}
			for _, text := range test.has {
				if !strings.Contains(f.lifecycle, text) {
					t.Errorf("the rules are %s, want %s", f.lifecycle, text)
				}
			}
			if len(test.has) == 0 && f.lifecycle != "" || strings.Contains(f.lifecycle, "Enabled") && !strings.Contains(f.lifecycle, "SizeLess") && test.before == "" {
				t.Errorf("the rules are %s", f.lifecycle)
			}
			if name == "added" {
				if checks, err := b.Check(t.Context()); err != nil || levels(checks)["tombstone rule"] != driver.CheckRight {
					t.Errorf("%+v, %v", checks, err)
				}
			}
		})
	}
}

// TestTombstoneRuleOnTheServer adds the rule to a bucket of the server of the
// tests.
func TestTombstoneRuleOnTheServer(t *testing.T) {
	b := newBackend(t, client(t), newBucket(t, drivertest.Name()), "app/carts", &Options{TombstoneRule: true})
	if err := errors.Join(b.CreateStorage(t.Context()), b.CreateStorage(t.Context())); err != nil {
		t.Fatal(err)
	}
	checks, err := b.Check(t.Context())
	if err != nil || levels(checks)["tombstone rule"] != driver.CheckRight || levels(checks)["lifecycle rules"] != driver.CheckRight {
		t.Errorf("%+v, %v", checks, err)
	}
}

// TestSettingsInAnswers has a bucket behind an access point, which shows neither
// versions nor lifecycle rules. The answers to writes tell.
func TestSettingsInAnswers(t *testing.T) {
	const point = "arn:aws:s3:eu-west-1:123456789012:accesspoint/carts"
	under := func(prefix, rule string, size int) func(string, int) string {
		return func(key string, n int) string {
			if strings.HasPrefix(key, "carts/"+prefix) && n >= size {
				return rule
			}
			return ""
		}
	}
	for name, test := range map[string]struct {
		quirks          quirks
		versions, rules driver.CheckLevel
		says            string
	}{
		"plain":                {quirks{name: awsName}, driver.CheckRight, driver.CheckUnknown, ""},
		"another server":       {quirks{}, driver.CheckUnknown, driver.CheckUnknown, ""},
		"versions":             {quirks{versioned: true}, driver.CheckUnsafe, driver.CheckUnknown, "x-amz-version-id"},
		"suspended versions":   {quirks{suspended: true}, driver.CheckWarning, driver.CheckUnknown, ""},
		"a rule for all":       {quirks{name: awsName, removes: under("", "their rule/1", 0)}, driver.CheckRight, driver.CheckUnsafe, `"their rule/1"`},
		"a rule for records":   {quirks{name: awsName, removes: under("app/r/i-", "theirs", minHead)}, driver.CheckRight, driver.CheckUnsafe, "theirs"},
		"a rule for the index": {quirks{name: awsName, removes: under("app/x/", "theirs", 0)}, driver.CheckRight, driver.CheckUnsafe, "theirs"},
		"a rule for labels":    {quirks{name: awsName, removes: under("app/l/", "theirs", 0)}, driver.CheckRight, driver.CheckUnsafe, "theirs"},
		"ours, without limit":  {quirks{name: awsName, removes: under("app/r/", tombstoneRuleID, 0)}, driver.CheckRight, driver.CheckUnsafe, "ObjectSizeLessThan"},
		"a rule elsewhere":     {quirks{name: awsName, removes: under("logs/", "theirs", 0)}, driver.CheckRight, driver.CheckUnknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, test.quirks)
			f.answers(func(op, _ string) *answer {
				if op == "GET bucket" {
					return &answer{status: 405, code: codeNotAllowed}
				}
				return nil
			})
			c := f.client(t, func(o *awss3.Options) {
				o.Region, o.BaseEndpoint, o.UsePathStyle = "eu-west-1", nil, false
				o.HTTPClient = roundTrip(func(r *http.Request) (*http.Response, error) {
					r = r.Clone(r.Context())
					r.URL.Scheme, r.URL.Host, r.URL.Path = "http", strings.TrimPrefix(f.URL, "http://"), "/carts"+strings.TrimSuffix(r.URL.Path, "/")
					r.URL.RawPath = ""
					return http.DefaultTransport.RoundTrip(r)
				})
			})
			b := newBackend(t, c, point, "app", nil)
			checks, err := b.Check(t.Context())
			if got := levels(checks); err != nil || got["versions"] != test.versions || got["lifecycle rules"] != test.rules {
				t.Errorf("%+v, %v; want %v and %v", checks, err, test.versions, test.rules)
			}
			for _, c := range checks {
				if c.Seen == "" || c.Need == "" || (c.Fix == "") != (c.Level == driver.CheckRight) {
					t.Errorf("%+v is not complete", c)
				}
			}
			err = b.CreateStorage(t.Context())
			if test.says == "" {
				if err != nil || len(f.keys()) != 1 { // the marker
					t.Errorf("%v, left %q", err, f.keys())
				}
				return
			}
			if drivertest.WantKind(t, err, model.ErrUnsupported); !strings.Contains(err.Error(), test.says) || len(f.keys()) > 0 {
				t.Errorf("%v does not say %q, or left %q", err, test.says, f.keys())
			}
			accepts := newBackend(t, c, point, "app", &Options{AllowVersioned: true, AllowLifecycle: true})
			if err := accepts.CreateStorage(t.Context()); (err != nil) != (name == "ours, without limit") {
				t.Errorf("with both options: %v", err)
			}
		})
	}
}

// TestSuspendedVersions warns of a bucket that has kept versions.
func TestSuspendedVersions(t *testing.T) {
	f := newFake(t, quirks{suspended: true})
	b := newBackend(t, f.client(t), "carts", "app", nil)
	checks, err := b.Check(t.Context())
	if err != nil || levels(checks)["versions"] != driver.CheckWarning {
		t.Errorf("%+v, %v", checks, err)
	}
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestVersionedBucket checks that a bucket that keeps versions is refused unless
// the options accept it.
func TestVersionedBucket(t *testing.T) {
	ctx := t.Context()
	c := client(t)
	name := newBucket(t, drivertest.Name())
	_, err := c.PutBucketVersioning(ctx, &awss3.PutBucketVersioningInput{
		Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := newBackend(t, c, name, "carts", nil).CreateStorage(ctx); model.Kind(err) != model.ErrUnsupported || !strings.Contains(err.Error(), "AllowVersioned") {
		t.Errorf("without the option: %v", err)
	}
	b := openAt(t, c, name, "carts", &Options{AllowVersioned: true})
	for _, principal := range []string{"ann", "bob"} {
		drivertest.Seed(t, b, drivertest.Record("id", principal, time.Hour))
	}
	remove(t, b, "id")
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	wantIDs(t, bearers(t, b, "ann"), "id")
	// Without the permission to ask, the answers to writes tell.
	p := startProxy(t)
	p.answers(answerTo("GET bucket", answer{status: 403, code: codeDenied}))
	blind := newBackend(t, clientAt(t, p.URL()), name, "blind", nil)
	if err := blind.CreateStorage(ctx); model.Kind(err) != model.ErrUnsupported || !strings.Contains(err.Error(), "x-amz-version-id") {
		t.Errorf("without the permission to ask: %v", err)
	}
	blind = newBackend(t, clientAt(t, p.URL()), name, "blind", &Options{AllowVersioned: true})
	if err := errors.Join(blind.CreateStorage(ctx), blind.DeleteStorage(ctx)); err != nil {
		t.Error(err)
	}
}

// TestLifecycleRule gives the rule of StoragePlan to the server.
func TestLifecycleRule(t *testing.T) {
	b := openAt(t, client(t), newBucket(t, drivertest.Name()), "app/carts", nil)
	want := rule(t, b)
	_, err := b.client.PutBucketLifecycleConfiguration(t.Context(), &awss3.PutBucketLifecycleConfigurationInput{
		Bucket: &b.bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{want}},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.client.GetBucketLifecycleConfiguration(t.Context(), &awss3.GetBucketLifecycleConfigurationInput{Bucket: &b.bucket})
	if err != nil || len(out.Rules) != 1 || aws.ToInt64(out.Rules[0].Filter.And.ObjectSizeLessThan) != minHead || aws.ToString(out.Rules[0].Filter.And.Prefix) != "app/carts/r/" {
		t.Errorf("the server has %+v, %v", out, err)
	}
}
