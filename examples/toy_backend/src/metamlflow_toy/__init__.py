"""A toy backend for metamlflow: all objects of a store in one SQLite file, chosen by ``toy://`` URLs."""

from metamlflow_toy.backend import ToyBackend, open_backend

__all__ = ["ToyBackend", "open_backend"]
