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
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
)

func BenchmarkConformance(b *testing.B) {
	shared := bucket(b)
	conformance.Benchmarks(b, conformance.Harness{
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			s, err := New(client(t), shared, "bench/"+name, nil)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Server: serverOf(b).String(),
	})
}

// hand makes the same requests with the same bytes, by the same client, and
// nothing else: no codec, no checks, no judgement.
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

// labelled is a create with both index entries.
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

// floorCase is one operation, and the same by hand; both are told the number of
// the call and have records of their own.
type floorCase struct {
	name string
	ours func(i int) error
	hand func(i int) error
}

// floorCalls is how often a round makes each call.
const floorCalls = 8

// BenchmarkFloor compares each operation with hand-written calls of the same
// client that make the same requests, by turns in one process; the floor against
// itself beside it.
//
//	go test -run xxx -bench Floor -benchtime=1x ./backends/s3
func BenchmarkFloor(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		s := open(b)
		if err := s.CreateStorage(b.Context()); err != nil {
			b.Fatal(err)
		}
		for _, c := range floorCases(b, s, size) {
			b.Run(fmt.Sprintf("value=%d/%s", size, c.name), func(b *testing.B) {
				ratio.Report(b, floorCalls, ratio.Side{Name: "by hand", Do: c.hand}, ratio.Side{Name: "floor", Do: c.again()}, ratio.Side{Name: "ratio", Do: c.ours})
			})
		}
	}
}

// again is the floor once more, on records that the first did not have.
func (c *floorCase) again() func(i int) error {
	return func(i int) error { return c.hand(i + 1<<30) }
}

func floorCases(b *testing.B, s *Backend, size int) []floorCase {
	b.Helper()
	h := &hand{b: s, ctx: b.Context()}
	ctx, value := h.ctx, bytes.Repeat([]byte("v"), size)
	made := func(id string, full bool) model.Record {
		r := record(id, "", 0)
		if full {
			r = record(id, "ann", time.Hour)
		}
		r.Value = value
		return r
	}
	body := headOf(func() *model.Record { r := made(fmt.Sprintf("%032d", 0), true); return &r }()).encode(value)
	handName := func(what string, i int) string { return recordKey(placeOf(fmt.Sprint("hand-", what, i)).name) }
	etags := map[string]string{} // of what the hand has written
	known := map[string]model.Record{}
	// there makes sure of one record for each operation and side.
	there := func(what string) {
		r, err := s.Write(ctx, testNow, driver.Write{Record: made("ours-"+what, true), Cond: driver.IfAny})
		if err != nil {
			b.Fatal(err)
		}
		r.Value = value
		known[what] = r
		if etags[what], err = h.put(handName(what, 0), body, ""); err != nil {
			b.Fatal(err)
		}
	}
	for _, what := range []string{"get", "update", "cas", "touch"} {
		there(what)
	}
	write := func(what string, w driver.Write) error {
		r, err := s.Write(ctx, testNow, w)
		r.Value = value
		known[what] = r
		return err
	}
	swap := func(what string) (err error) {
		etags[what], err = h.put(handName(what, 0), body, etags[what])
		return err
	}
	return []floorCase{
		{"get", func(int) error { _, err := s.Get(ctx, testNow, driver.Get{ID: "ours-get"}); return err },
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
			prev := known["touch"]
			r, err := s.Touch(ctx, testNow, driver.Touch{ID: prev.ID, Mode: driver.TouchSet, ExpiresAt: prev.ExpiresAt.Add(time.Second), Known: prev})
			r.Value = value
			known["touch"] = r
			return err
		}, func(int) error { return swap("touch") }},
		{"create and delete", func(i int) error {
			r, err := s.Write(ctx, testNow, driver.Write{Record: made(fmt.Sprint("ours-delete", i), false), Cond: driver.IfAbsent})
			if err != nil {
				return err
			}
			return s.Delete(ctx, testNow, driver.Delete{ID: r.ID, Cond: driver.IfMatch, Known: r})
		}, func(i int) error {
			etag, err := h.put(handName("delete", i), body, "*")
			if err == nil {
				_, err = h.put(handName("delete", i), tombstone, etag)
			}
			return err
		}},
	}
}
