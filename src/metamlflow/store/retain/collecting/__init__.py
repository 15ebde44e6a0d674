"""Collecting: freeing the content that no version needs. SPEC.md, section 13."""
