package bbolt

import (
	"os"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/internal/tools/answers"
)

func TestRules(t *testing.T) {
	t.Run("touches at a revision", func(t *testing.T) { drivertest.TouchesAtRevision(t, fresh(t)) })
	t.Run("ended contexts", func(t *testing.T) { drivertest.EndedContexts(t, fresh(t), nil) })
	t.Run("entries stay", func(t *testing.T) {
		drivertest.EntriesStay(t, newOn(t, fresh(t).DB(), "owned", "owner", "state"))
	})
}

// TestAnswers makes every call in every unusual state: the answers are those of
// the page for authors.
func TestAnswers(t *testing.T) {
	db := fresh(t).DB()
	table, err := answers.Table(t.Context(), answers.Place{
		Open: func(name string) (driver.ModelExpirySupport, error) { return New(db, name, nil) },
		Damage: func(name, id string) error {
			return db.Update(func(tx *bbolt.Tx) error {
				return tx.Bucket([]byte(name)).Bucket([]byte(recordsBucket)).Put([]byte(id), []byte("not a record"))
			})
		},
	})
	must(t, err)
	page, err := os.ReadFile("../../docs/write-a-backend.md")
	must(t, err)
	if !strings.Contains(string(page), table) {
		t.Errorf("docs/write-a-backend.md does not have this table:\n%s", table)
	}
}
