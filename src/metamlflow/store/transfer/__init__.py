"""How bytes and work move: the scheduler, ranges, spooling, progress, rate limit, digests. Knows nothing of a store."""
