"""Finding versions and runs: the catalog, what a condition says of it, and SQL over both."""
