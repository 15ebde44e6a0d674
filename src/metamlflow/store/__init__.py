"""The use cases: open a store, publish, read, download, verify. Words and steps are those of SPEC.md."""
