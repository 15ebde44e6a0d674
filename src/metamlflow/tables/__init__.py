"""Tables as files: what a dataset writes for a frame or an Arrow table, and how it reads files as tables."""
