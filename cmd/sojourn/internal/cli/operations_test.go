package cli

import (
	"context"
	"database/sql"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

// notRun are the commands of the pages that need what the tests do not have.
var notRun = []string{"mongodump", "mongorestore", "pg_dump", "pg_restore"}

const notRunMark = "# not run by the tests"

// guide returns the commands of a page of docs/operations.
func guide(t *testing.T, page string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "```sh":
			inside = true
		case line == "```":
			inside = false
		case strings.HasPrefix(line, "```"):
			t.Errorf("%s has a fence %s: only sh can be run", page, line)
		case inside && line != "":
			commands = append(commands, line)
		}
	}
	return commands
}

// words splits a command as a shell does, with both kinds of quotes.
func words(t *testing.T, line string) (all []string) {
	t.Helper()
	var quote rune
	var word strings.Builder
	open := false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, open = r, true
		case quote == 0 && r == ' ':
			if open {
				all = append(all, word.String())
			}
			word.Reset()
			open = false
		case quote == 0 && strings.ContainsRune("<>|;&$`{}*~", r):
			t.Errorf("%s: %q needs quotes", line, r)
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if open {
		all = append(all, word.String())
	}
	return all
}

// obey runs the commands one after the other. Each one must succeed.
func obey(t *testing.T, address string, commands []string) {
	t.Helper()
	env := environment{"SOJOURN_URL": address}
	for _, line := range commands {
		if strings.HasSuffix(line, notRunMark) {
			continue
		}
		args := words(t, line)
		switch args[0] {
		case "sojourn":
			r := run(t, env, args[1:]...)
			if r.code != exitDone && (r.code != exitWarning || args[1] != "doctor") {
				t.Errorf("%s: exit code %d\n%s%s", line, r.code, r.out, r.err)
			}
		case "redis-cli":
			o, err := redis.ParseURL(strings.Split(address, "?")[0])
			if err != nil {
				t.Fatal(err)
			}
			client := redis.NewClient(o)
			all := make([]any, len(args)-1)
			for i := range all {
				all[i] = args[i+1]
			}
			if err := client.Do(t.Context(), all...).Err(); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			_ = client.Close()
		case "psql":
			db, err := sql.Open("pgx", address)
			if err != nil {
				t.Fatal(err)
			}
			if len(args) != 3 || args[1] != "-c" {
				t.Errorf("%s: the test knows only psql -c", line)
				continue
			}
			for statement := range strings.SplitSeq(args[2], "; ") {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
			_ = db.Close()
		default:
			t.Errorf("%s: the test does not know this command: mark it with %q, and add it to notRun", line, notRunMark)
		}
	}
}

// operate runs the commands of the common page and of a page on a store with records.
// At the end the store and the backup have all of them.
func operate(t *testing.T, page, address string) {
	t.Helper()
	pages, err := filepath.Abs("../../../../docs/operations")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	b := openURL(t, address)
	fill(t, b, 20)
	_ = b.Close() // one process alone opens a bbolt file
	obey(t, address, slices.Concat(guide(t, filepath.Join(pages, "README.md")), guide(t, filepath.Join(pages, page))))
	for _, store := range []string{address, "file:backup?name=store"} {
		b := openURL(t, store)
		if n := len(all(t, b)); n != 20 {
			t.Errorf("%d records are left, want 20", n)
		}
		_ = b.Close()
	}
}

func TestOperationsInProcess(t *testing.T) {
	for _, address := range []string{"file:data?name=sojourn", "sqlite:app.db", "bbolt:app.bolt"} {
		t.Run(strings.Split(address, ":")[0], func(t *testing.T) { operate(t, "files.md", address) })
	}
}

func TestOperationsOfRedis(t *testing.T) {
	client, address := redisClient(t)
	before, err := client.ConfigGet(t.Context(), "append*").Result()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() { // other tests share the server
		for _, name := range []string{"appendonly", "appendfsync"} {
			if err := client.ConfigSet(ctx, name, before[name]).Err(); err != nil {
				t.Error(err)
			}
		}
	})
	operate(t, "redis.md", address+"?name="+freshName("operations-"))
}

func TestOperationsOfPostgreSQL(t *testing.T) {
	operate(t, "postgresql.md", freshSchema(t))
}

// mongoURL returns the URL of a collection.
func mongoURL(t *testing.T, collection string) string {
	t.Helper()
	u, err := url.Parse(containers.MongoDB(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/shop"
	q := u.Query()
	q.Set("collection", collection)
	u.RawQuery = q.Encode()
	return u.String()
}

// minioURL returns the URL of a store in a bucket, and puts the credentials into the
// environment.
func minioURL(t *testing.T, bucket string) string {
	t.Helper()
	u, err := url.Parse(containers.MinIO(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := u.User.Password()
	t.Setenv("AWS_ACCESS_KEY_ID", u.User.Username())
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	u.User = nil
	return "s3://" + bucket + "/store?region=us-east-1&endpoint=" + url.QueryEscape(u.String())
}

// TestOperationsOfTheOthers runs the pages of the servers that start slowly.
func TestOperationsOfTheOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts four more servers")
	}
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"} {
		t.Setenv(name, value)
	}
	t.Run("dynamodb", func(t *testing.T) {
		operate(t, "dynamodb.md", "dynamodb://"+freshName("operations-")+"?region=eu-west-1&endpoint="+url.QueryEscape(containers.DynamoDB(t).URL))
	})
	t.Run("mongodb", func(t *testing.T) {
		operate(t, "mongodb.md", mongoURL(t, freshName("operations-")))
	})
	t.Run("s3", func(t *testing.T) {
		operate(t, "s3.md", minioURL(t, freshName("operations-")))
	})
	t.Run("elasticsearch", func(t *testing.T) {
		operate(t, "elasticsearch.md", "elasticsearch://"+strings.TrimPrefix(containers.Elasticsearch(t).URL, "http://")+"/"+freshName("operations-"))
	})
}

// TestOperationsPages checks what no command can: which commands are not run, and each
// product, quotient and sum.
func TestOperationsPages(t *testing.T) {
	pages, err := filepath.Glob("../../../../docs/operations/*.md")
	if err != nil || len(pages) < 8 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	found, sums := map[string]bool{}, 0
	sum := regexp.MustCompile(`([\d.]+) ([×/+]) ([\d.]+) = ([\d.]*\d)`)
	for _, page := range pages {
		for _, line := range guide(t, page) {
			if command, ok := strings.CutSuffix(line, notRunMark); ok {
				found[strings.Fields(command)[0]] = true
			}
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range sum.FindAllStringSubmatch(string(text), -1) {
			sums++
			a, b, want := number(t, m[1]), number(t, m[3]), number(t, m[4])
			got := map[string]float64{"×": a * b, "/": a / b, "+": a + b}[m[2]]
			_, digits, _ := strings.Cut(m[4], ".")
			if math.Abs(got-want) > 0.5000001*math.Pow10(-len(digits)) {
				t.Errorf("%s: %s, but it is %v", page, m[0], got)
			}
		}
	}
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, notRun) {
		t.Errorf("the pages mark %v as not run, want %v", got, notRun)
	}
	if sums < 15 {
		t.Errorf("only %d sums were found", sums)
	}
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
