package expiry

import (
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// ModelExpirySupport is the interface of a backend. Package driver documents
// it for authors of backends.
type ModelExpirySupport = driver.ModelExpirySupport

// Error is the error of every method of a Store.
type Error = model.Error

// Record is what SweepOptions.OnExpire sees.
type Record = model.Record

// Revision identifies one value of one record.
type Revision = model.Revision

// Description is a backend's name, labels, limits and missing features.
type Description = driver.Description

// Swept is the result of DeleteExpired.
type Swept = driver.Swept

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
