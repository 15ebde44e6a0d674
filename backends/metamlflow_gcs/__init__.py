"""The backend for Google Cloud Storage, chosen by ``gs://`` and ``gcs://`` URLs."""

from metamlflow_gcs.backend import GCSBackend, open_backend

__all__ = ["GCSBackend", "open_backend"]
