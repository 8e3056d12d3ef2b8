// Package driverkit has what the backends of package driver share: the checks
// that every method starts with, page tokens, the loop of a sweep, the
// decision of a condition, errors for lost answers, a record format, and a
// wrapper that forwards every optional interface.
//
// A backend holds a [Gate], made by NewGate in its constructor, and starts
// every method with one of its checks:
//
//	func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
//		if err := b.gate.Enter(ctx); err != nil {
//			return model.Record{}, err
//		}
//		…
//	}
//
// The program examples/mapbackend is a complete backend on this kit.
package driverkit
