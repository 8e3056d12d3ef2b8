// Package cutover moves a store to another backend while programs use it.
//
// Old is where the records are, and new is where they go. The way has five
// steps, and clients stay signed in throughout:
//
//  1. Every node of the program opens a [DualWrite] from old to new. Old
//     decides and answers. What changes is copied to new.
//  2. [Copy], or the command sojourn migrate, copies what was there before. Its
//     last pass finds both equal, but for what is just being written.
//  3. Every node opens a [DualRead] of old and new. Each read proves that new
//     would have answered the same, and fixes what lags behind.
//  4. Every node opens a DualWrite from new to old. New decides and answers. What
//     changes is copied to old, so that the nodes of step 3 find it, and so that
//     the way back stays open.
//  5. Every node opens new alone.
//
// Nodes whose steps have the same store deciding keep the whole contract among
// themselves. While nodes of steps 3 and 4 run side by side, calls that follow
// one another see each other's changes, if no change was reported to OnLag. If
// two such nodes change one record at the same time, one change may be lost. The
// record stays.
//
// Ids, revisions, expiries, labels, values and encodings are copied as they
// are: sealed values stay sealed, and clients' revisions stay valid. Both sides
// need the same labels. A value that one of them cannot hold is ErrTooLarge.
package cutover
