"""What was made from what: inputs, edges, runs, the environment they ran in, stale metadata."""
