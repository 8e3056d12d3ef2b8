package mongo

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestUpdateWhileTheEncodingChanges has an update that finds another encoding,
// which it must not replace, and a record of the right one right after. That
// record was live all the time: ErrNotFound would be wrong.
func TestUpdateWhileTheEncodingChanges(t *testing.T) {
	base := drivertest.Record("id", "ann", time.Hour)
	base.Encoding = "json"
	doc, _ := labelled("principal").document(&base)
	for name, keep := range map[string]driver.Keep{"replace": {}, "modify": {Expiry: true, Labels: true}} {
		for refusals, want := range map[int]error{1: nil, 100: model.ErrUnavailable} {
			left, writes := refusals, 0
			b := openFake(t, false, nil, nil, func(name string, _ bson.Raw) bson.D {
				if name == "find" {
					return found(doc)
				}
				writes++
				if left > 0 {
					left--
					return bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: 0}, {Key: "nModified", Value: 0}, {Key: "value", Value: nil}}
				}
				return bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: 1}, {Key: "nModified", Value: 1}, {Key: "value", Value: doc}}
			})
			w := driver.Write{Record: base, Cond: driver.IfPresent, Keep: keep, Encodings: []string{"json"}}
			w.Record.Revision = model.NewRevision()
			_, err := b.Write(t.Context(), drivertest.Now, w)
			if model.Kind(err) != want || writes != min(refusals+1, writeAttempts) {
				t.Errorf("%s refused %d times: %v after %d writes, want %v", name, refusals, err, writes, want)
			}
		}
	}
}
