package otelsojourn

import (
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// outcome is a place in words.
type outcome uint8

// answered is the outcome of an operation that did not fail. The server's answer
// may have been that there is nothing, or that a condition does not hold.
const answered outcome = 0

// words are the values of error.type, of which the last says most about a failing
// backend. The first is that of no failure, which has no attribute.
var words = [...]string{
	"", "invalid", "too_large", "unsupported", "canceled", "closed", "deadline", other, "corrupt", "unavailable", "unknown",
}

// other is the conventions' word for an error of no known kind.
const other = "_OTHER"

// texts describe the status of a failed span. They are constants: the text of an
// error may name an id.
var texts = [len(words)]string{
	"", model.ErrInvalid.Error(), model.ErrTooLarge.Error(), model.ErrUnsupported.Error(), "the context was canceled", model.ErrClosed.Error(),
	"the deadline passed", "", model.ErrCorrupt.Error(), model.ErrUnavailable.Error(), model.ErrUnknown.Error(),
}

// outcomeOf returns what an error says about the operation.
func outcomeOf(err error) outcome {
	if err == nil {
		return answered
	}
	word := expiry.Observation{Err: err}.Outcome()
	switch word {
	case "not_found", "exists", "conflict":
		return answered
	case "error":
		word = other
	}
	for i, w := range words {
		if w == word {
			return outcome(i)
		}
	}
	return outcomeOther
}

// outcomeOther is the place of other.
const outcomeOther outcome = 7

// worst returns the worst outcome of a batch.
func worst(results []driver.BatchResult) outcome {
	w := answered
	for i := range results {
		w = max(w, outcomeOf(results[i].Err))
	}
	return w
}
