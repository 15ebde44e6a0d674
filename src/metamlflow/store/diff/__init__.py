"""The differences between two versions: files, columns, metadata, inputs, and on request rows."""
