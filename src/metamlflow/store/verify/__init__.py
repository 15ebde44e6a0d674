"""Verify that versions are as they were registered: levels, parts, reports, signatures, lineage proofs."""
