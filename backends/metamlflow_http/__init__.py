"""Data on web servers that an artifact points to; see :mod:`metamlflow.backend.lakes`."""

from metamlflow_http.lake import open_lake

__all__ = ["open_lake"]
