"""Copies that GCS makes by itself, over the JSON API: https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite."""

from __future__ import annotations

from metamlflow_gcs.connection import API, GCSConnection, Request, object_path
from metamlflow_gcs.error_table import UnreadableAnswer

_FEW_REQUESTS, _LEAST_BYTES = 16, 1024 * 1024  # a request copies 1 MiB or more


class GCSCopies:
    """Copies into and out of one bucket.

    Args:
        connection: to the server.
        bucket: its name.
        kms_key: the resource name of the key to encrypt copies with, where it is not the bucket's default.
    """

    def __init__(self, connection: GCSConnection, bucket: str, kms_key: str | None) -> None:
        self._connection = connection
        self._bucket = bucket
        self._key = {"destinationKmsKeyName": kms_key} if kms_key else {}

    def obstacle_to(self, source: GCSCopies) -> str | None:
        """Return None for buckets at one endpoint, else what is in the way."""
        here, there = self._connection.endpoint, source._connection.endpoint
        return None if here == there else f"{there} is not {here}"

    def copy(self, source: GCSCopies, origin: str, name: str, size: int) -> None:
        """Let GCS rewrite the object ``origin`` as ``name``, on condition that there is none, in several requests.

        Raises:
            Refusal: the condition does not hold, or it cannot be done.
        """
        path = object_path(source._bucket, origin)
        target = object_path(self._bucket, name).removeprefix(API)
        params = {"ifGenerationMatch": "0", **self._key}
        for _ in range(_FEW_REQUESTS + size // _LEAST_BYTES):
            request = Request("POST", f"{path}/rewriteTo{target}", params, {"Content-Length": "0"})
            answer = self._connection.request(request).json()
            if answer.get("done", True):
                return
            params = {**params, "rewriteToken": str(answer.get("rewriteToken") or "")}
        raise UnreadableAnswer("the copy goes on and on")
