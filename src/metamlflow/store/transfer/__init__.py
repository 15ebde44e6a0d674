"""How bytes and work move: one scheduler, ranges, spooling, progress, pace, digests. Knows nothing of a store."""
