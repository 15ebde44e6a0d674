"""Read content of every kind, verified: open, download, local copies."""
