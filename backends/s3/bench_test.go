package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
)

func BenchmarkConformance(b *testing.B) {
	shared := bucket(b)
	conformance.Benchmarks(b, conformance.Harness{
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			return newBackend(t, client(t), shared, "bench/"+name, nil)
		},
		Server: serverOf(b).String(),
	})
}

// hand sends the same requests with the same bytes through the same client. It
// encodes, checks and decides nothing.
type hand struct {
	b   *Backend
	ctx context.Context
}

func (h *hand) put(key string, body []byte, ifMatch string) (string, error) {
	in := &awss3.PutObjectInput{Bucket: &h.b.bucket, Key: aws.String(h.b.full(key)), Body: bytes.NewReader(body)}
	switch ifMatch {
	case "":
	case "*":
		in.IfNoneMatch = &ifMatch
	default:
		in.IfMatch = &ifMatch
	}
	out, err := h.b.client.PutObject(h.ctx, in)
	if err != nil {
		return "", err
	}
	return *out.ETag, nil
}

func (h *hand) get(key, part string) (string, error) {
	in := &awss3.GetObjectInput{Bucket: &h.b.bucket, Key: aws.String(h.b.full(key))}
	if part != "" {
		in.Range = &part
	}
	out, err := h.b.client.GetObject(h.ctx, in)
	if err != nil {
		return "", err
	}
	_, err = io.ReadAll(out.Body)
	return *out.ETag, err
}

// labelled creates a record with both index entries.
func (h *hand) labelled(r *model.Record, body []byte) error {
	p, s := placeOf(r.ID), newStamp()
	l := labelKey(&label{"principal", r.Labels["principal"], s}, p.name)
	errs := make([]error, 2)
	parallel(2, func(i int) {
		if i == 0 {
			_, errs[0] = h.put(l, nil, "")
		} else {
			_, errs[1] = h.put(dueKey(r.ExpiresAt, p.name, s), lines([]string{l}), "")
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	_, err := h.put(recordKey(p.name), body, "*")
	return err
}

// floorCase is an operation of the backend and the same operation by hand. Both
// get the number of the call, and each side has its own records.
type floorCase struct {
	name string
	ours func(i int) error
	hand func(i int) error
}

// floorCalls is the number of calls in a round.
const floorCalls = 8

// BenchmarkFloor compares each operation with hand-written calls that send the
// same requests through the same client. It also compares the floor with itself.
//
//	go test -run xxx -bench Floor -benchtime=1x ./backends/s3
func BenchmarkFloor(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		s := open(b)
		for _, c := range floorCases(b, s, size) {
			b.Run(fmt.Sprintf("value=%d/%s", size, c.name), func(b *testing.B) {
				ratio.Report(b, floorCalls, ratio.Side{Name: "by hand", Do: c.hand}, ratio.Side{Name: "floor", Do: c.again()}, ratio.Side{Name: "ratio", Do: c.ours})
			})
		}
	}
}

// again returns the floor with other records.
func (c *floorCase) again() func(i int) error {
	return func(i int) error { return c.hand(i + 1<<30) }
}

func floorCases(b *testing.B, s *Backend, size int) []floorCase {
	b.Helper()
	h := &hand{b: s, ctx: b.Context()}
	ctx, value := h.ctx, bytes.Repeat([]byte("v"), size)
	made := func(id string, full bool) model.Record {
		r := drivertest.Record(id, "", 0)
		if full {
			r = drivertest.Record(id, "ann", time.Hour)
		}
		r.Value = value
		return r
	}
	body := append(headOf(func() *model.Record { r := made(fmt.Sprintf("%032d", 0), true); return &r }()).encode(), value...)
	handName := func(what string, i int) string { return recordKey(placeOf(fmt.Sprint("hand-", what, i)).name) }
	etags := map[string]string{} // of the records that hand has written
	known := map[string]model.Record{}
	for _, what := range []string{"get", "update", "cas", "touch"} {
		known[what] = drivertest.Put(b, s, made("ours-"+what, true))
		var err error
		if etags[what], err = h.put(handName(what, 0), body, ""); err != nil {
			b.Fatal(err)
		}
	}
	write := func(what string, w driver.Write) error {
		r, err := s.Write(ctx, drivertest.Now, w)
		r.Value = value
		known[what] = r
		return err
	}
	swap := func(what string) (err error) {
		etags[what], err = h.put(handName(what, 0), body, etags[what])
		return err
	}
	return []floorCase{
		{"get", func(int) error { _, err := s.Get(ctx, drivertest.Now, driver.Get{ID: "ours-get"}); return err },
			func(int) error { _, err := h.get(handName("get", 0), ""); return err }},
		{"create", func(i int) error {
			return write("create", driver.Write{Record: made(fmt.Sprint("ours-create", i), false), Cond: driver.IfAbsent})
		}, func(i int) error { _, err := h.put(handName("create", i), body, "*"); return err }},
		{"create with expiry and label", func(i int) error {
			return write("full", driver.Write{Record: made(fmt.Sprint("ours-full", i), true), Cond: driver.IfAbsent})
		}, func(i int) error {
			r := made(fmt.Sprint("hand-full", i), true)
			return h.labelled(&r, body)
		}},
		{"upsert", func(int) error {
			return write("upsert", driver.Write{Record: made("ours-upsert", false), Cond: driver.IfAny})
		}, func(int) error { _, err := h.put(handName("upsert", 0), body, ""); return err }},
		{"update", func(int) error {
			return write("update", driver.Write{Record: made("ours-update", true), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
		}, func(int) error {
			etag, err := h.get(handName("update", 0), "bytes=0-2047")
			if err == nil {
				_, err = h.put(handName("update", 0), body, etag)
			}
			return err
		}},
		{"compare-and-set", func(int) error {
			return write("cas", driver.Write{Record: made("ours-cas", true), Cond: driver.IfMatch, Known: known["cas"], Keep: driver.Keep{Expiry: true, Labels: true}})
		}, func(int) error { return swap("cas") }},
		{"touch", func(int) error {
			last := known["touch"]
			r, err := s.Touch(ctx, drivertest.Now, driver.Touch{ID: last.ID, Mode: driver.TouchSet, ExpiresAt: last.ExpiresAt.Add(time.Second), Known: last})
			r.Value = value
			known["touch"] = r
			return err
		}, func(int) error { return swap("touch") }},
		{"create and delete", func(i int) error {
			r, err := s.Write(ctx, drivertest.Now, driver.Write{Record: made(fmt.Sprint("ours-delete", i), false), Cond: driver.IfAbsent})
			if err != nil {
				return err
			}
			return s.Delete(ctx, drivertest.Now, driver.Delete{ID: r.ID, Cond: driver.IfMatch, Known: r})
		}, func(i int) error {
			etag, err := h.put(handName("delete", i), body, "*")
			if err == nil {
				_, err = h.put(handName("delete", i), tombstone, etag)
			}
			return err
		}},
	}
}
