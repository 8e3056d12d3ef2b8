// Package driverkit has what the backends of package driver share:
//
//   - [Gate] makes the checks that every method starts with, and page tokens.
//   - [Tally] counts the removals of a sweep and runs its loop, [Steps] in steps.
//   - [Listing] collects a page, and [Answers] those of many reads.
//   - [DeclaredLabels], [MaxValue] and [CheckName] check options.
//   - [Finding] is what a Check found.
//   - [Judge] decides a condition against what was read.
//   - [Waited] adds up what a call waits for before it decides.
//   - [Race] tries whether one of many concurrent writes wins.
//   - [ReadError] and [WriteError] are the errors of lost answers.
//   - [AppendRecord] and [DecodeRecord] are a record format.
//   - [Wrapper] forwards every optional interface to another backend.
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
