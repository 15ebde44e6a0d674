"""Reading stored content, verified: open, download, local copies."""
