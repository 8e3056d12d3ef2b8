package expiry

import (
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// ModelExpirySupport is the interface of a backend. Package driver documents
// it for authors of backends.
type ModelExpirySupport = driver.ModelExpirySupport

// The types of other packages that programs meet.
type (
	Error       = model.Error        // what every method of a Store returns
	Record      = model.Record       // what SweepOptions.OnExpire sees
	Revision    = model.Revision     // names one value of one record
	Description = driver.Description // a backend's name, labels and limits
	Swept       = driver.Swept       // the result of DeleteExpired
)

// The sentinel errors, the same as those of package model. Match them with
// errors.Is.
var (
	ErrNotFound    = model.ErrNotFound
	ErrExists      = model.ErrExists
	ErrConflict    = model.ErrConflict
	ErrInvalid     = model.ErrInvalid
	ErrTooLarge    = model.ErrTooLarge
	ErrCorrupt     = model.ErrCorrupt
	ErrUnsupported = model.ErrUnsupported
	ErrUnavailable = model.ErrUnavailable
	ErrUnknown     = model.ErrUnknown
	ErrClosed      = model.ErrClosed
)
