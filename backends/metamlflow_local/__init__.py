"""The backend for local folders, chosen by ``file://`` URLs."""

from metamlflow_local.backend import LocalBackend, open_backend

__all__ = ["LocalBackend", "open_backend"]
