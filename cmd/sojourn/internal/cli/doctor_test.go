package cli

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// fault is something that is wrong with a store or its server.
type fault struct {
	name  string
	plant func(t *testing.T)
	url   string
	found string // the finding's name
	code  int    // the exit code
	fix   string // a part of what to do
}

// examine plants each fault, one at a time, and wants the doctor to name it.
func examine(t *testing.T, faults []fault) {
	t.Helper()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			if f.plant != nil {
				f.plant(t)
			}
			r := run(t, environment{}, "doctor", f.url, "--json").want(t, f.code)
			for _, one := range lines[finding](t, r) {
				if one.Name != f.found || one.Level == driver.CheckRight.String() {
					continue
				}
				if one.Seen == "" || one.Need == "" || !strings.Contains(one.Fix, f.fix) {
					t.Errorf("the finding is %+v, want what to do with %q in it", one, f.fix)
				}
				run(t, nil, "doctor", f.url).want(t, f.code, f.found, "found", "needed", "fix")
				return
			}
			t.Errorf("no finding %q:\n%s", f.found, r.out)
		})
	}
}

func TestDoctorOfFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	const own = "file:data?name=carts"
	create := func(t *testing.T) { t.Helper(); run(t, nil, "init", "-u", own).want(t, exitDone) }
	examine(t, []fault{
		{"NoStore", nil, own, "folder", exitWarning, "CreateStorage"},
		{"NoSync", create, own + "&no_sync=true", "sync", exitWarning, "NoSync"},
		{"ReadableByOthers", func(t *testing.T) {
			t.Helper()
			create(t)
			if err := os.Chmod("data/carts", 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod("data/carts", 0o700) })
		}, own, "permissions", exitWarning, "chmod"},
		{"ForeignFile", func(t *testing.T) {
			t.Helper()
			if err := os.WriteFile("data/carts/theirs", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, own, "folder", exitUnsafe, "another name"},
	})
}

func TestDoctorOfDatabasesInOneFile(t *testing.T) {
	t.Chdir(t.TempDir())
	statement := func(t *testing.T, text string) {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+filepath.Join(".", "app.db"))
		if err == nil {
			_, err = db.ExecContext(t.Context(), text)
			_ = db.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const own, bolt = "sqlite:app.db?table=carts", "bbolt:app.bolt?bucket=carts"
	examine(t, []fault{
		{"NoTable", nil, own, "table", exitUnsafe, "CreateStorage"},
		{"ForeignTable", func(t *testing.T) { t.Helper(); statement(t, "CREATE TABLE theirs (id, other)") }, "sqlite:app.db?table=theirs", "table", exitUnsafe, "table of its own"},
		{"LostIndex", func(t *testing.T) {
			t.Helper()
			run(t, nil, "init", "-u", own).want(t, exitDone)
			statement(t, `DROP INDEX "carts label principal"`)
		}, own, "indexes", exitWarning, "CreateStorage"},
		{"NoBucket", nil, bolt, "bucket", exitUnsafe, "CreateStorage"},
		{"BoltNoSync", func(t *testing.T) { t.Helper(); run(t, nil, "init", "-u", bolt).want(t, exitDone) }, bolt + "&no_sync=true", "sync", exitWarning, "NoSync"},
		{"ForeignBucket", func(t *testing.T) {
			t.Helper()
			db, err := bbolt.Open("app.bolt", 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			if err := db.Update(func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucket([]byte("theirs"))
				if err != nil {
					return err
				}
				return b.Put([]byte("key"), []byte("theirs"))
			}); err != nil {
				t.Fatal(err)
			}
		}, "bbolt:app.bolt?bucket=theirs", "bucket", exitUnsafe, "bucket of its own"},
	})
}

func TestDoctorOfRedis(t *testing.T) {
	url := containers.Redis(t).URL
	opts, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	do := func(t *testing.T, args ...any) {
		t.Helper()
		if err := client.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set := func(setting, value string) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			before := client.ConfigGet(t.Context(), setting).Val()[setting]
			do(t, "config", "set", setting, value)
			t.Cleanup(func() { client.ConfigSet(context.WithoutCancel(t.Context()), setting, before) })
		}
	}
	name := freshName("doctor-")
	own := url + "?name=" + name
	run(t, nil, "init", "-u", own).want(t, exitDone)
	keys := func(t *testing.T) []string {
		t.Helper()
		return client.Keys(t.Context(), name+":*").Val()
	}
	examine(t, []fault{
		{"NoPersistence", nil, own, "persistence", exitWarning, "appendonly"},
		{"EvictsAll", set("maxmemory-policy", "allkeys-lru"), own, "eviction policy", exitUnsafe, "noeviction"},
		{"EvictsVolatile", set("maxmemory-policy", "volatile-ttl"), own, "eviction policy", exitUnsafe, "noeviction"},
		{"EvictsAccepted", set("maxmemory-policy", "allkeys-lru"), own + "&allow_eviction=true", "eviction policy", exitWarning, "noeviction"},
		{"SmallValues", set("proto-max-bulk-len", "1048576"), own, "largest value", exitWarning, "proto-max-bulk-len"},
		{"Replica", func(t *testing.T) {
			t.Helper()
			do(t, "replicaof", "127.0.0.1", "1")
			t.Cleanup(func() { client.Do(context.WithoutCancel(t.Context()), "replicaof", "no", "one") })
		}, own, "role", exitUnsafe, "master"},
		{"LostIndex", func(t *testing.T) {
			t.Helper()
			for _, key := range keys(t) {
				if strings.HasSuffix(key, ":x") {
					do(t, "del", key)
					return
				}
			}
			t.Fatal("no index")
		}, own, "indexes", exitUnsafe, "CreateStorage"},
	})
	t.Run("NoPermissions", func(t *testing.T) {
		do(t, "acl", "setuser", "weak", "on", ">hunter2", "~*", "&*", "+@all", "-info", "-config")
		t.Cleanup(func() { client.Do(context.WithoutCancel(t.Context()), "acl", "deluser", "weak") })
		run(t, nil, "init", "-u", own).want(t, exitDone) // the lost index
		weak := strings.Replace(own, "redis://", "redis://weak@", 1)
		r := run(t, environment{"SOJOURN_PASSWORD": "hunter2"}, "doctor", weak, "--json").want(t, exitUnseen)
		for _, one := range lines[finding](t, r) {
			if one.Name == "eviction policy" && one.Level == "unknown" && strings.Contains(one.Fix, "+info") {
				return
			}
		}
		t.Errorf("no finding about the permissions:\n%s", r.out)
	})
}
