package conformance_test

// onSteps returns a mutation of a backend whose calls have steps.
func onSteps(verb string, kind stepKind) mutation { return mutation{steps: &stepFault{verb, kind}} }

// interruptedMutants do wrong with what an interrupted call leaves.
func interruptedMutants() map[string]mutation {
	out := map[string]mutation{}
	for call, verb := range map[string]string{
		"Create": "create", "CreateOverAnExpiredRecord": "create over an expired record",
		"Update": "update", "CompareAndSet": "compare-and-set", "Upsert": "upsert", "Touch": "touch",
		"Delete": "delete", "DeleteAtARevision": "delete at a revision", "Take": "delete at a revision",
		"Batch": "batch", "Sweep": "sweep", "SweepThatAnnounces": "sweep that announces",
		"CreateStorage": "CreateStorage", "DeleteStorage": "DeleteStorage", "Get": "get", "Page": "page", "Count": "count",
	} {
		out[call+" tells nothing of a step that failed"] = onSteps(verb, lies)
		out[call+" is not repaired after a kill between two steps"] = onSteps(verb, torn)
		out[call+" is acknowledged before it is durable"] = onSteps(verb, unsynced)
	}
	return out
}
