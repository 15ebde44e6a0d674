"""From what a caller gives to blobs in the store: sources, hashing, schemas, storing."""
