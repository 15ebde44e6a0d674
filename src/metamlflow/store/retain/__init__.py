"""Keeping and giving up: which versions are pruned, restored, erased, and what is collected."""
