"""The local cache of verified content. Knows nothing of a store."""
