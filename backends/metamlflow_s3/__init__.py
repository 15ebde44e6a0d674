"""The backend for S3 and what speaks its language, chosen by ``s3://`` URLs."""

from metamlflow_s3.backend import S3Backend, open_backend

__all__ = ["S3Backend", "open_backend"]
