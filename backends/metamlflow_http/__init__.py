"""Data on web servers that an artifact points to; see :mod:`metamlflow.backend.external`."""

from metamlflow_http.external import open_external

__all__ = ["open_external"]
