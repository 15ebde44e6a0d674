"""Putting back what a verification finds missing or modified."""
