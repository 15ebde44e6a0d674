"""From the caller's argument to bytes and their hashes: sources, hashing, schemas."""
