"""The use cases: open a store, publish, read, download, verify. The terms and steps are those of SPEC.md."""
