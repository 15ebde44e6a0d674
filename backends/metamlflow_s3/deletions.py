"""Deleting objects: up to 1,000 with a request, or one by one where the server grants only that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from metamlflow.backend.seam import DeleteFailure
from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import AccessDeniedError, MetaMLFlowError, ObjectNotFoundError
from metamlflow_s3.connection import S3Connection
from metamlflow_s3.error_context import Wording
from metamlflow_s3.error_table import answered
from metamlflow_s3.listings import PAGE

_AT_A_TIME = 8


class Deletions:
    """Deletes below one prefix of a bucket.

    Args:
        connection: for the requests.
        wording: for their failures.
        prefix: of all keys.
        url_of: tells the URL of a key, for messages.
    """

    def __init__(self, connection: S3Connection, wording: Wording, prefix: str, url_of: Callable[[str], str]) -> None:
        self._connection = connection
        self._wording = wording
        self._prefix = prefix
        self._url_of = url_of

    def delete(self, keys: Iterable[str]) -> list[DeleteFailure]:
        """Delete objects; each failure is reported, a missing key is none."""
        failures: list[DeleteFailure] = []
        left = iter(keys)
        while batch := list(islice(left, PAGE)):
            failures += self._delete_batch(batch)
        return failures

    def delete_version(self, key: str, version: str) -> None:
        """Delete one version of an object for good."""
        with self._wording.translated(self._url_of(key)):
            self._connection.call("delete_object", Key=self._prefix + key, VersionId=version)

    def _delete_batch(self, keys: list[str]) -> list[DeleteFailure]:
        objects = [{"Key": self._prefix + key} for key in keys]
        try:
            with self._wording.translated(self._url_of(keys[0])):
                answer = self._connection.call("delete_objects", Delete={"Objects": objects, "Quiet": True})
        except AccessDeniedError:
            # Some servers (radosgw 16.2) ask for a right to all of the bucket here, and for one key at that key alone.
            with ThreadPool(_AT_A_TIME, "metamlflow-delete") as pool:
                return [failure for failure in pool.map(self._delete_one, keys) if failure]
        except MetaMLFlowError as error:
            return [DeleteFailure(key, error) for key in keys]
        failures = []
        for failed in answer.get("Errors", ()):
            key = failed["Key"].removeprefix(self._prefix)
            reason = self._wording.placed(self._url_of(key), answered({"Error": failed}))
            if not isinstance(reason, ObjectNotFoundError):
                failures.append(DeleteFailure(key, reason))
        return failures

    def _delete_one(self, key: str) -> DeleteFailure | None:
        try:
            with self._wording.translated(self._url_of(key)):
                self._connection.call("delete_object", Key=self._prefix + key)
        except ObjectNotFoundError:
            return None
        except MetaMLFlowError as error:
            return DeleteFailure(key, error)
        return None
