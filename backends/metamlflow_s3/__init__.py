"""The backend for S3 and what speaks its language, chosen by ``s3://`` URLs.

Read ``backend.py`` first, then ``connection.py``, which sends the requests of s3fs's client, and ``error_table.py``.
There are so many files because there are two engines: ``engines.py`` says which one makes a request,
``obstore_engine.py`` is the fast one, and ``resolving.py`` keeps both at the same settings.
"""

from metamlflow_s3.backend import S3Backend, open_backend

__all__ = ["S3Backend", "open_backend"]
