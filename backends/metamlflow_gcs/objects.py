"""Objects in the words of the JSON API: how one is asked for, what its resource says, how a failure is told."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from metamlflow.backend.seam import ObjectInfo
from metamlflow.backend.translation import placed, translated_errors
from metamlflow.errors import MetaMLFlowError
from metamlflow_gcs.connection import Answer, Request, object_path
from metamlflow_gcs.error_table import UnreadableAnswer, gcs_error
from metamlflow_gcs.uploads import crc32c_of

FIELDS = "name,size,timeCreated,updated,generation,etag,crc32c,md5Hash"
_LIMIT_BYTES = 64 * 1024 * 1024
"""A range from an object's start to beyond this is a limit. All of it is asked for, with its checksum, and cut off."""
_PLAIN = {"Accept-Encoding": "identity"}  # the bytes as they are stored, and their number in Content-Length


def told_errors(where: str, root: str) -> AbstractContextManager[None]:
    """Return the context manager in which failures are told as being of the object at the URL ``where``."""

    def as_of_it(error: Exception) -> MetaMLFlowError | None:
        found = gcs_error(error)
        return found and placed(found, where, root)

    return translated_errors(where, own=as_of_it)


def media_request(
    bucket: str,
    name: str,
    start: int = 0,
    end: int | None = None,
    generation: str | None = None,
    *,
    as_stored: bool = False,
) -> Request:
    """Return the request for an object's bytes, or some of them."""
    # Asked for without gzip, GCS decompresses what was stored with that encoding, and its size is another.
    headers = {"Accept-Encoding": "gzip"} if as_stored else dict(_PLAIN)
    if start or (end is not None and end <= _LIMIT_BYTES):
        headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    params = {"alt": "media"} | ({"generation": generation} if generation else {})
    path = object_path(bucket, name, kind="/download")
    last = sys.maxsize if end is None else end
    return Request("GET", path, params, headers, as_stored=as_stored, start=start, end=last)


def object_info(key: str | None, resource: Mapping[str, Any], answer: Answer, prefix: int = 0) -> ObjectInfo:
    """Read an object resource; without ``key`` the key is its name after so many characters of ``prefix``.

    Raises:
        UnreadableAnswer: it is none.
    """
    try:
        return _parsed(resource["name"][prefix:] if key is None else key, resource, answer)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UnreadableAnswer(f"no object resource: {error!r}") from error


def _parsed(key: str, resource: Mapping[str, Any], answer: Answer) -> ObjectInfo:
    md5 = resource.get("md5Hash")
    crc32c = crc32c_of(dict(resource))
    held = {"crc32c": crc32c, "md5": base64.b64decode(md5).hex() if md5 else None}
    date = answer.headers.get("Date")
    size, generation = int(resource["size"]), resource.get("generation")
    if size < 0:
        raise ValueError("a size below 0")
    return ObjectInfo(
        key=key,
        size=size,
        # `updated` moves when metadata, a hold or the storage class changes, and age goes by the content.
        modified=datetime.fromisoformat(resource.get("timeCreated") or resource["updated"]).astimezone(UTC),
        observed=parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC),
        etag=str(resource["etag"]) if resource.get("etag") else None,
        version=str(int(generation)) if generation else None,
        checksums={name: value for name, value in held.items() if value},
    )
