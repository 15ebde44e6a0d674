"""Bringing versions to another store, unchanged, and comparing two stores."""
