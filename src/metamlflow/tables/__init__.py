"""Tables as files: writing frames and Arrow tables for a dataset, and reading its files as tables."""
