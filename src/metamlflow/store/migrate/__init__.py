"""Copy versions to another store, unchanged, and compare two stores."""
