package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/sojourn-go/sojourn/backends/dynamodb"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/backends/mongo"
	"github.com/sojourn-go/sojourn/backends/postgres"
	"github.com/sojourn-go/sojourn/backends/s3"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// weighed is how many records TestSizes stores, and weighedValue the size of the
// value of each. Its id has 50 bytes, and its one label 12.
const (
	weighed      = 2000
	weighedValue = 300
)

func weigh(t testing.TB, b driver.ModelExpirySupport) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	for at := 0; at < weighed; at += 100 {
		ops := make([]driver.BatchOp, 100)
		for i := range ops {
			value := make([]byte, weighedValue)
			_, _ = random.Read(value) // as sealed values are: no compression helps
			ops[i].Write = &driver.Write{Cond: driver.IfAny, Record: model.Record{
				ID: fmt.Sprintf("%050x", random.Uint64()), Revision: model.NewRevision(), Value: value, Encoding: "json",
				ExpiresAt: now().Add(time.Hour + time.Duration(at+i)*time.Second), Labels: map[string]string{"principal": fmt.Sprintf("person-%05d", at+i)},
			}}
		}
		for _, res := range driver.WriteMany(t.Context(), b, now(), ops) {
			if res.Err != nil {
				t.Fatal(res.Err)
			}
		}
	}
}

// wantSize compares what records added with the line of the page.
func wantSize(t *testing.T, page []byte, line string, before, after int64) {
	t.Helper()
	got := float64(after-before) / weighed
	t.Logf("%s: %.0f", line, got)
	m := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(line) + ` \| ([\d,]+) \|`).FindSubmatch(page)
	if m == nil {
		t.Errorf("docs/operations/README.md has no line %q, want %.0f", line, got)
		return
	}
	said, err := strconv.ParseFloat(strings.ReplaceAll(string(m[1]), ",", ""), 64)
	if err != nil || math.Abs(got-said) > said*0.15 {
		t.Errorf("docs/operations/README.md says %s for %q, measured are %.0f", m[1], line, got)
	}
}

// sizesPage returns the page with the sizes. A test changes its folder only later.
func sizesPage(t *testing.T) []byte {
	t.Helper()
	page, err := os.ReadFile(filepath.FromSlash("../../../../docs/operations/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// measureSize stores the records and compares what that adds to each measure.
func measureSize(t *testing.T, page []byte, b driver.ModelExpirySupport, measures map[string]func() int64) {
	t.Helper()
	if err := driver.CreateStorage(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	before := map[string]int64{}
	for line, of := range measures {
		before[line] = of()
	}
	weigh(t, b)
	for line, of := range measures {
		wantSize(t, page, line, before[line], of())
	}
}

// TestSizes measures the bytes of a record of docs/operations/README.md.
func TestSizes(t *testing.T) {
	page := sizesPage(t)
	t.Chdir(t.TempDir())
	t.Run("files", func(t *testing.T) {
		walk := func(size func(fs.FileInfo) int64) func() int64 {
			return func() (sum int64) {
				if err := filepath.WalkDir("data", func(_ string, e fs.DirEntry, err error) error {
					if err != nil {
						return err
					}
					if e.Name() == "redo" { // a log that is folded, whatever the store holds
						return fs.SkipDir
					}
					info, err := e.Info()
					if err == nil && info.Mode().IsRegular() {
						sum += size(info)
					}
					return err
				}); err != nil {
					t.Error(err)
				}
				return sum
			}
		}
		measureSize(t, page, openURL(t, "file:data?name=store"), map[string]func() int64{
			"files, their length":                  walk(fs.FileInfo.Size),
			"files, their blocks of 4,096 bytes":   walk(func(i fs.FileInfo) int64 { return (i.Size() + 4095) / 4096 * 4096 }),
			"files, how many of them a record has": walk(func(fs.FileInfo) int64 { return 1 }),
		})
	})
	for line, address := range map[string]string{"SQLite": "sqlite:app.db?table=carts", "bbolt": "bbolt:app.bolt?bucket=carts"} {
		t.Run(line, func(t *testing.T) {
			name, _, _ := strings.Cut(strings.SplitN(address, ":", 2)[1], "?")
			measureSize(t, page, openURL(t, address), map[string]func() int64{line: func() (sum int64) {
				found, _ := filepath.Glob(name + "*")
				for _, f := range found {
					if info, err := os.Stat(f); err == nil {
						sum += info.Size()
					}
				}
				return sum
			}})
		})
	}
	t.Run("memory", func(t *testing.T) {
		var grown []int64 // what other tests left may go at any time, so the middle of three counts
		for range 3 {
			before := heap()
			b, err := memory.New(nil, "store", &memory.Options{Labels: []string{"principal"}})
			if err != nil {
				t.Fatal(err)
			}
			weigh(t, b)
			grown = append(grown, heap()-before)
			_ = b.Close()
		}
		slices.Sort(grown)
		wantSize(t, page, "memory", 0, grown[1])
	})
}

// heap returns the bytes that are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestSizesOnPostgreSQL(t *testing.T) {
	b := openURL(t, freshSchema(t)+"&table=carts")
	measureSize(t, sizesPage(t), b, map[string]func() int64{"PostgreSQL": func() (n int64) {
		rows, err := b.(*postgres.Backend).Client().Query(t.Context(), "SELECT pg_total_relation_size('carts')")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			err = rows.Scan(&n)
		}
		if err != nil || n == 0 {
			t.Error(err, rows.Err())
		}
		return n
	}})
}

func TestSizesOnTheOthers(t *testing.T) {
	page := sizesPage(t)
	if testing.Short() {
		t.Skip("it starts four more servers")
	}
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"} {
		t.Setenv(name, value)
	}
	t.Run("dynamodb", func(t *testing.T) {
		table := freshName("sizes-")
		b := openURL(t, "dynamodb://"+table+"?region=eu-west-1&endpoint="+url.QueryEscape(containers.DynamoDB(t).URL))
		items := func(size func(map[string]types.AttributeValue) int64) func() int64 {
			return func() (sum int64) {
				pages := awsdynamodb.NewScanPaginator(b.(*dynamodb.Backend).Client().(*awsdynamodb.Client), &awsdynamodb.ScanInput{TableName: &table})
				for pages.HasMorePages() {
					page, err := pages.NextPage(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					for _, item := range page.Items {
						sum += size(item)
					}
				}
				return sum
			}
		}
		measureSize(t, page, b, map[string]func() int64{
			"DynamoDB": items(itemSize), "DynamoDB, how many items a record has": items(func(map[string]types.AttributeValue) int64 { return 1 }),
		})
	})
	t.Run("mongodb", func(t *testing.T) {
		b := openURL(t, mongoURL(t, freshName("sizes-")))
		measureSize(t, page, b, map[string]func() int64{"MongoDB": func() (sum int64) {
			found, err := b.(*mongo.Backend).Collection().Find(t.Context(), bson.D{})
			if err != nil {
				t.Fatal(err)
			}
			for found.Next(t.Context()) {
				sum += int64(len(found.Current))
			}
			if err := found.Err(); err != nil {
				t.Error(err)
			}
			return sum
		}})
	})
	t.Run("s3", func(t *testing.T) {
		bucket := freshName("sizes-")
		b := openURL(t, minioURL(t, bucket))
		objects := func(size func(n, key int64) int64) func() int64 {
			return func() (sum int64) {
				pages := awss3.NewListObjectsV2Paginator(b.(*s3.Backend).Client().(*awss3.Client), &awss3.ListObjectsV2Input{Bucket: &bucket})
				for pages.HasMorePages() {
					page, err := pages.NextPage(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					for _, o := range page.Contents {
						sum += size(*o.Size, int64(len(*o.Key)))
					}
				}
				return sum
			}
		}
		measureSize(t, page, b, map[string]func() int64{
			"S3":                                objects(func(n, key int64) int64 { return n + key }),
			"S3, how many objects a record has": objects(func(int64, int64) int64 { return 1 }),
		})
	})
	t.Run("elasticsearch", func(t *testing.T) {
		server, name := containers.Elasticsearch(t).URL, freshName("sizes-")
		b := openURL(t, "elasticsearch://"+strings.TrimPrefix(server, "http://")+"/"+name)
		measureSize(t, page, b, map[string]func() int64{"Elasticsearch": func() int64 {
			var merged struct {
				Indices map[string]struct {
					Shards map[string][]struct {
						Segments map[string]struct {
							Size   int64 `json:"size_in_bytes"`
							Search bool  `json:"search"`
						} `json:"segments"`
					} `json:"shards"`
				} `json:"indices"`
			}
			for _, path := range []string{"POST /_forcemerge?max_num_segments=1&flush=true", "POST /_refresh", "GET /_segments"} {
				method, path, _ := strings.Cut(path, " ")
				fetch(t, method, server+"/"+name+path, &merged)
			}
			sum := int64(0)
			for _, index := range merged.Indices {
				for _, shards := range index.Shards {
					for _, shard := range shards {
						for _, s := range shard.Segments {
							if s.Search {
								sum += s.Size
							}
						}
					}
				}
			}
			return sum
		}})
	})
}

func fetch(t *testing.T, method, address string, to any) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(to); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, res.Status, err)
	}
}

// itemSize is the size by which AWS bills storage, with the 100 bytes that it adds
// to each item:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func itemSize(item map[string]types.AttributeValue) int64 {
	size := 100
	for name, value := range item {
		size += len(name)
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			size += len(v.Value)
		case *types.AttributeValueMemberB:
			size += len(v.Value)
		case *types.AttributeValueMemberN:
			size += (len(strings.Trim(v.Value, "-0"))+1)/2 + 1
		default: // a flag
			size++
		}
	}
	return int64(size)
}
