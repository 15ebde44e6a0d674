"""The backend for Google Cloud Storage, chosen by ``gs://`` and ``gcs://`` URLs.

Read ``gcs_requests.py`` first, then ``connection.py``, which sends them, and ``error_table.py``. The backend above
them is :class:`metamlflow.backend.ObjectStoreBackend`.
"""

from metamlflow_gcs.backend import GCSBackend, open_backend

__all__ = ["GCSBackend", "open_backend"]
