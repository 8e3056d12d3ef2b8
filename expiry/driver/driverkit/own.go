package driverkit

import (
	"io"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Own returns a copy of a record for a backend that keeps it in memory. It
// copies the texts too: a framework may use the memory behind an id again, and
// a short id may be a part of a long text that it would keep alive.
func Own(r model.Record) model.Record {
	given := r.Labels
	r = r.Clone()
	r.ID, r.Encoding, r.ServerVersion = strings.Clone(r.ID), strings.Clone(r.Encoding), strings.Clone(r.ServerVersion)
	clear(r.Labels)
	for name, value := range given {
		r.Labels[strings.Clone(name)] = strings.Clone(value)
	}
	return r
}

// Closer returns an io.Closer for Gate.Own that calls do and waits for it, but not
// longer than the time: do may wait for calls that do not end.
func Closer(patience time.Duration, do func()) io.Closer { return closer{patience, do} }

type closer struct {
	patience time.Duration
	do       func()
}

func (c closer) Close() error {
	done := make(chan struct{})
	go func() { c.do(); close(done) }()
	select {
	case <-done:
	case <-time.After(c.patience):
	}
	return nil
}
