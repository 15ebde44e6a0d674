"""Lineage: inputs, edges, runs and their environment, stale metadata."""
