"""Checking that versions are what was registered: levels, parts, reports, signatures, lineage proofs."""
