package s3

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// tombstoneRuleID names the lifecycle rule that removes tombstones.
const tombstoneRuleID = "sojourn-tombstones"

// codeNoRules is the code of a bucket without lifecycle rules.
const codeNoRules = "NoSuchLifecycleConfiguration"

// tombstoneRule returns the rule that removes tombstones.
func (b *Backend) tombstoneRule(status types.ExpirationStatus) types.LifecycleRule {
	return types.LifecycleRule{
		ID: aws.String(tombstoneRuleID), Status: status, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)},
		Filter: &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{
			Prefix: aws.String(b.full(recordsDir + "/")), ObjectSizeLessThan: aws.Int64(minHead),
		}},
	}
}

// ruleFilter is what a lifecycle rule applies to.
type ruleFilter struct {
	prefix     string
	tags       bool
	less, more int64 // sizes; zero: no limit
}

func filterOf(r *types.LifecycleRule) ruleFilter {
	f := ruleFilter{prefix: aws.ToString(r.Prefix)} //nolint:staticcheck // older servers and rules still use it
	if one := r.Filter; one != nil {
		f.prefix += aws.ToString(one.Prefix)
		f.tags = one.Tag != nil
		f.less, f.more = aws.ToInt64(one.ObjectSizeLessThan), aws.ToInt64(one.ObjectSizeGreaterThan)
		if and := one.And; and != nil {
			f.prefix += aws.ToString(and.Prefix)
			f.tags = f.tags || len(and.Tags) > 0
			f.less, f.more = max(f.less, aws.ToInt64(and.ObjectSizeLessThan)), max(f.more, aws.ToInt64(and.ObjectSizeGreaterThan))
		}
	}
	return f
}

// reaches reports whether the filter matches objects of the store that it needs:
// its records, index entries or marker. Objects of a store have no tags.
func (f *ruleFilter) reaches(b *Backend) bool {
	if f.tags {
		return false
	}
	for _, own := range []string{recordsDir + "/", dueDir + "/", labelsDir + "/", markerName} {
		key := b.full(own)
		if !strings.HasPrefix(key, f.prefix) && !strings.HasPrefix(f.prefix, key) {
			continue
		}
		records := own == recordsDir+"/"
		switch {
		case records && f.less > 0 && f.less <= minHead: // only tombstones
		case !records && f.more >= maxHead: // only larger objects
		default:
			return true
		}
	}
	return false
}

// removesTombstones reports whether an enabled rule removes all tombstones.
func (b *Backend) removesTombstones(r *types.LifecycleRule) bool {
	f := filterOf(r)
	return r.Status == types.ExpirationStatusEnabled && r.Expiration != nil && aws.ToInt32(r.Expiration.Days) > 0 && !f.tags &&
		strings.HasPrefix(b.full(recordsDir+"/"), f.prefix) && f.less > tombstoneSize && f.more < tombstoneSize
}

// rules returns the bucket's lifecycle rules.
func (b *Backend) rules(ctx context.Context) ([]types.LifecycleRule, error) {
	m, opts := b.mayRepeat()
	out, err := b.client.GetBucketLifecycleConfiguration(ctx, &awss3.GetBucketLifecycleConfigurationInput{Bucket: &b.bucket, ExpectedBucketOwner: b.owner()}, opts...)
	switch code := codeOf(err); {
	case err == nil:
		return out.Rules, nil
	case code == codeNoRules, code == codeNotImplemented:
		return nil, nil
	}
	return nil, b.bucketError(ctx, err, m)
}

// needOfRules is what a store needs of lifecycle rules.
const needOfRules = "no rule removes or archives records and index entries"

// checkLifecycle looks at the bucket's lifecycle rules. The rules are nil if they
// cannot be seen.
func (b *Backend) checkLifecycle(ctx context.Context) (checks driver.Checks, rules []types.LifecycleRule, seen bool, err error) {
	const name = "lifecycle rules"
	rules, err = b.rules(ctx)
	if err != nil {
		f, denied := unseen(name, needOfRules, "s3:GetLifecycleConfiguration", err)
		if !denied {
			return nil, nil, false, err
		}
		return driver.Checks{f}, nil, false, nil
	}
	for i := range rules {
		if f, bad := b.judgeRule(&rules[i]); bad {
			f.Name, f.Need = name, needOfRules
			checks = append(checks, f)
		}
	}
	if len(checks) == 0 {
		checks = driver.Checks{{Name: name, Seen: fmt.Sprintf("%d rules, none of which reaches the store's records", len(rules)), Need: needOfRules}}
	}
	return checks, rules, true, nil
}

// judgeRule returns a finding for a rule that reaches objects of the store.
func (b *Backend) judgeRule(r *types.LifecycleRule) (f driver.Finding, bad bool) {
	filter := filterOf(r)
	if r.Status != types.ExpirationStatusEnabled || !filter.reaches(b) {
		return f, false
	}
	f.Level = driver.CheckUnsafe
	if b.opts.AllowLifecycle {
		f.Level = driver.CheckWarning
	}
	rule := fmt.Sprintf("the rule %q of the bucket %s", aws.ToString(r.ID), b.bucket)
	removes := r.Expiration != nil && (aws.ToInt32(r.Expiration.Days) > 0 || r.Expiration.Date != nil)
	if removes && aws.ToString(r.ID) == tombstoneRuleID {
		f.Level = driver.CheckUnsafe
		f.Seen = rule + " without its ObjectSizeLessThan, so that it removes every record"
		f.Fix = "remove the rule at once: this server does not know the limit on size"
		return f, true
	}
	if removes {
		f.Seen = rule + " removes objects of the store by their age"
		f.Fix = "exclude the prefix " + b.prefix + "/ from the rule, use another bucket, or set Options.AllowLifecycle if no record lives that long"
		return f, true
	}
	for _, t := range r.Transitions {
		switch t.StorageClass {
		case types.TransitionStorageClassGlacier, types.TransitionStorageClassDeepArchive:
			f.Seen = rule + " archives objects of the store, which can then not be read"
			f.Fix = "exclude the prefix " + b.prefix + "/ from the rule, or use another bucket"
			return f, true
		}
	}
	if len(r.Transitions) > 0 {
		f.Level = driver.CheckWarning
		f.Seen = rule + " moves objects of the store to another storage class"
		f.Fix = "such classes cost more for objects that live for a short time: exclude the prefix " + b.prefix + "/"
		return f, true
	}
	return f, false
}

// nullVersion is the version of an object that was written while the bucket kept
// no versions.
const nullVersion = "null"

// askAnswers completes findings about settings that the server does not show, as
// through an access point. It writes an object into each folder of the store: the
// answers have a version if the bucket keeps them, and a rule that will remove
// the object.
func (b *Backend) askAnswers(ctx context.Context, versions *driver.Finding, checks driver.Checks, seen bool) error {
	own := newStamp()
	name := own.String() + "=0"
	bodies := map[string][]byte{recordsDir + "/" + plainPrefix + name: make([]byte, minHead), dueDir + "/" + name: nil, labelsDir + "/" + name: nil}
	keys := slices.Sorted(maps.Keys(bodies))
	version, expiration, server := "", "", ""
	err := b.testing(ctx, own, keys, func() error {
		for _, key := range keys {
			m, opts := b.mayRepeat(errorsInAnswers)
			out, err := b.client.PutObject(ctx, b.object(key, bodies[key], nil), opts...)
			if err != nil {
				return b.bucketError(ctx, err, m)
			}
			version, server = aws.ToString(out.VersionId), responseHeader(out.ResultMetadata, "Server")
			if expiration == "" {
				expiration = aws.ToString(out.Expiration)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case versions.Level != driver.CheckUnknown: // it is known
	case version == nullVersion:
		b.suspends(versions, "answers to writes have the version null, as of suspended versions")
	case version != "":
		b.keepsVersions(versions, "answers to writes have an x-amz-version-id, so versions are kept in the bucket "+b.bucket)
	case server == awsName:
		versions.Level, versions.Fix, versions.Seen = driver.CheckRight, "", "answers to writes have no x-amz-version-id"
	}
	if seen {
		return nil
	}
	f := &checks[0]
	if expiration == "" {
		f.Seen += "; answers to writes have no x-amz-expiration, so that no rule removes small objects"
		return nil
	}
	rule := types.LifecycleRule{ID: aws.String(ruleIn(expiration)), Status: types.ExpirationStatusEnabled, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)}}
	found, _ := b.judgeRule(&rule)
	f.Seen, f.Fix, f.Level = "an x-amz-expiration in the answer to a write: "+found.Seen, found.Fix, found.Level
	return nil
}

// ruleIn returns the id of the rule in an x-amz-expiration, which has the form
// expiry-date="…", rule-id="…". The id is escaped as in a URL.
func ruleIn(expiration string) string {
	_, id, _ := strings.Cut(expiration, `rule-id="`)
	id, _, _ = strings.Cut(id, `"`)
	if plain, err := url.QueryUnescape(id); err == nil {
		return plain
	}
	return id
}

// tombstoneFinding says whether a rule removes the tombstones of a store whose
// server has no conditional deletes.
func (b *Backend) tombstoneFinding(rules []types.LifecycleRule, seen bool) driver.Finding {
	f := driver.Finding{Name: "tombstone rule", Need: "a lifecycle rule removes the 64 bytes that each removed record leaves"}
	for i := range rules {
		if b.removesTombstones(&rules[i]) {
			f.Seen = fmt.Sprintf("the rule %q", aws.ToString(rules[i].ID))
			return f
		}
	}
	f.Level, f.Seen = driver.CheckWarning, "no such rule"
	if !seen {
		f.Level, f.Seen = driver.CheckUnknown, "the rules cannot be seen"
	}
	f.Fix = "set Options.TombstoneRule, or add the rule as StoragePlan says"
	return f
}

// addTombstoneRule adds the rule to a bucket without rules, since the request
// replaces all of them. The rule is disabled at first: a server that drops its
// limit on size would remove every record.
func (b *Backend) addTombstoneRule(ctx context.Context) error {
	rules, err := b.rules(ctx)
	if err != nil {
		return err
	}
	for i := range rules {
		if b.removesTombstones(&rules[i]) {
			return nil
		}
	}
	if len(rules) > 0 {
		return model.NewError(model.ErrUnsupported, fmt.Sprintf("Options.TombstoneRule: the bucket %s has %d lifecycle rules, which the request would replace; add the rule of StoragePlan to them by hand", b.bucket, len(rules)), nil)
	}
	for _, status := range []types.ExpirationStatus{types.ExpirationStatusDisabled, types.ExpirationStatusEnabled} {
		rule := b.tombstoneRule(status)
		err := b.putRule(ctx, rule)
		if code := codeOf(err); code == codeNotImplemented || code == codeNotAllowed {
			return model.NewError(model.ErrUnsupported, "Options.TombstoneRule: "+code+": the server has no lifecycle rules; leave the option out", err)
		}
		if err != nil {
			return err
		}
		kept, err := b.rules(ctx)
		if err != nil {
			return err
		}
		if len(kept) != 1 || kept[0].Status != status || filterOf(&kept[0]) != filterOf(&rule) {
			return model.NewError(model.ErrUnsupported, fmt.Sprintf("Options.TombstoneRule: the server does not keep the lifecycle rule %q as it was sent, with its ObjectSizeLessThan; it is disabled, so remove it and use a server that does, or leave the option out", tombstoneRuleID), nil)
		}
	}
	return nil
}

// putRule makes the rule the bucket's only one. The request is idempotent.
func (b *Backend) putRule(ctx context.Context, rule types.LifecycleRule) error {
	m, opts := b.mayRepeat(withMD5)
	_, err := b.client.PutBucketLifecycleConfiguration(ctx, &awss3.PutBucketLifecycleConfigurationInput{
		Bucket: &b.bucket, ExpectedBucketOwner: b.owner(), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{rule}},
	}, opts...)
	return b.bucketError(ctx, err, m)
}
