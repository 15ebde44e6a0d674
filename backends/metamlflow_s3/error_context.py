"""How failures of S3 are told: with their place, and without a secret."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from metamlflow.backend.translation import placed, translated_errors
from metamlflow.errors import MetaMLFlowError, StoreNotFoundError
from metamlflow.redaction import printable, scrubbed
from metamlflow_s3.error_table import MISSING_BUCKET, s3_error
from metamlflow_s3.options import secrets_of


class Wording:
    """Turns what a client raises into our errors.

    Args:
        root: URL of the bucket, and the prefix in it.
        options: of the file system, whose secrets no message may show.
    """

    def __init__(self, root: str, options: Mapping[str, Any]) -> None:
        self._root = root
        self._secrets = secrets_of(options)

    def translated(self, where: str) -> AbstractContextManager[None]:
        """Return the context manager in which failures are told as being of the object at the URL ``where``."""

        def own(error: Exception) -> MetaMLFlowError | None:
            ours = s3_error(error)
            return ours and self.placed(where, ours)

        return translated_errors(where, own=own)

    def missing_bucket(self) -> StoreNotFoundError:
        """Return the error for a bucket that is not there, the same whatever was asked for."""
        row = MISSING_BUCKET
        return StoreNotFoundError(f"{self._root}: {row[1]}", hint=row[2], uri=self._root)

    def placed(self, where: str, error: MetaMLFlowError) -> MetaMLFlowError:
        """Say where it happened, and no secret."""
        message = printable(scrubbed(error.message, self._secrets), keep="\n")
        return placed(error, where, self._root, message=message)
