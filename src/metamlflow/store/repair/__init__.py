"""Restore objects that a verification finds missing or modified."""
