"""Examine all records and blobs of a store, and say of each fault what it means and what to do."""
