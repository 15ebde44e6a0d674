"""Copies that GCS makes by itself, over the JSON API: https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from metamlflow.errors import AlreadyExistsError
from metamlflow_gcs.connection import API, GCSConnection, Request, object_path
from metamlflow_gcs.error_table import UnreadableAnswer

if TYPE_CHECKING:
    from metamlflow.backend.seam import Backend

_FEW_REQUESTS, _LEAST_BYTES = 16, 1024 * 1024  # a request copies 1 MiB or more


class GCSCopies:
    """The part of a GCS backend that copies from another; see :class:`metamlflow.backend.ServerSideCopy`."""

    _bucket: str
    _prefix: str
    _options: dict[str, Any]
    _connection: GCSConnection
    _translated: Callable[[str], AbstractContextManager[None]]

    def obstacle_to(self, source: Backend) -> str | None:
        """Return None for buckets at one endpoint."""
        if not isinstance(source, GCSCopies):
            return "the other end is no GCS bucket"
        places = [backend._connection.endpoint for backend in (self, source)]  # noqa: SLF001 (its own kind)
        return None if places[0] == places[1] else f"{places[1]} is not {places[0]}"

    def copy_from(self, source: Backend, key: str, size: int, crc32c: str) -> bool:  # noqa: ARG002 (the server knows it)
        """Let GCS rewrite an object on condition that there is none, in as many requests as it wants."""
        assert isinstance(source, GCSCopies)  # noqa: S101 (obstacle_to tells)
        origin = object_path(source._bucket, source._prefix + key)  # noqa: SLF001 (its own kind)
        target = object_path(self._bucket, self._prefix + key).removeprefix(API)
        params = {"ifGenerationMatch": "0"}
        if kms_key := self._options.get("kms_key_name"):
            params["destinationKmsKeyName"] = kms_key
        try:
            with self._translated(key):
                for _ in range(_FEW_REQUESTS + size // _LEAST_BYTES):
                    request = Request("POST", f"{origin}/rewriteTo{target}", params, {"Content-Length": "0"})
                    answer = self._connection.request(request).json()
                    if answer.get("done", True):
                        return True
                    params = {**params, "rewriteToken": str(answer.get("rewriteToken") or "")}
                raise UnreadableAnswer("the copy goes on and on")
        except AlreadyExistsError:
            return False
