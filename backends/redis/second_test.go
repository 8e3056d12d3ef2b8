//go:build second

package redis

import (
	"fmt"
	"testing"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

// TestSecond runs the tests on the oldest Redis that the package claims and on
// Valkey, with the client's defaults and with ContextTimeoutEnabled. It leaves
// out those of a cluster, whose nodes need Redis 7.0.
func TestSecond(t *testing.T) {
	was, did := server, heedsDeadlines
	t.Cleanup(func() { server, heedsDeadlines = was, did })
	for name, second := range map[string]func(testing.TB) containers.Server{
		"Redis": containers.RedisSecond, "Valkey": containers.ValkeySecond,
	} {
		for _, heeds := range []bool{false, true} {
			server, heedsDeadlines = second, heeds
			t.Run(fmt.Sprint(name, "/ContextTimeoutEnabled ", heeds), func(t *testing.T) {
				for name, test := range map[string]func(*testing.T){
					"Conformance": TestConformance, "Sessions": TestSessions,
					"LostAnswers": TestLostAnswers, "LostBatch": TestLostBatch, "LostReads": TestLostReads, "LostWrites": TestLostWrites,
					"LostSweepAgainstAnother": TestLostSweepAgainstAnother, "Contexts": TestContexts, "Stalled": TestStalled,
					"NothingIsSentAfterwards": TestNothingIsSentAfterwards,
					"ServerTTL":               TestServerTTL, "ServerReaps": TestServerReaps, "NothingIsLeft": TestNothingIsLeft,
					"Reaped": TestReaped, "Evicted": TestEvicted, "Unreadable": TestUnreadable, "UnreadableAndDue": TestUnreadableAndDue,
					"ForeignIndex": TestForeignIndex, "OtherNodesLabels": TestOtherNodesLabels,
					"LongHeads": TestLongHeads, "LongValues": TestLongValues, "LongValueOfUnknownScript": TestLongValueOfUnknownScript,
					"CountVisitsNoRecord": TestCountVisitsNoRecord, "Storage": TestStorage, "Permissions": TestPermissions,
					"ScriptsAreBounded": TestScriptsAreBounded, "CountWhileSwept": TestCountWhileSwept, "UnknownScriptInBatch": TestUnknownScriptInBatch,
					"LongValueWithOtherLabels": TestLongValueWithOtherLabels, "PermissionsEndAtTheStore": TestPermissionsEndAtTheStore,
					"ServerRefuses": TestServerRefuses, "ForeignStorage": TestForeignStorage, "ForeignRecords": TestForeignRecords,
					"TouchAtARevision": TestTouchAtARevision, "Stat": TestStat, "ListingsKeepTheirOrder": TestListingsKeepTheirOrder,
					"Trips": TestTrips, "UnknownScript": TestUnknownScript, "LongUpdateThatKeepsLabels": TestLongUpdateThatKeepsLabels,
				} {
					t.Run(name, test)
				}
			})
		}
	}
}

// TestSecondMillion is TestScriptsAreBounded with a million expired records.
func TestSecondMillion(t *testing.T) { scriptsAreBounded(t, 1_000_000) }
