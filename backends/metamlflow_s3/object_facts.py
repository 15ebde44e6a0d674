"""What the answers of S3 tell of an object: when, which version, which checksums."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from metamlflow_s3.error_table import is_composite


def date_of(answer: Mapping[str, Any]) -> datetime:
    """Return the server's clock when it answered; an answer without a date counts as of now."""
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(text).astimezone(UTC) if text else datetime.now(UTC)


def real_version(version: str | None) -> str | None:
    """Return a version's id; None for ``null``, which is no version of its own."""
    return None if version in {None, "null"} else version


def checksums_of(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of the whole content, in hex."""
    if is_composite(answer):
        return {}  # a digest of digests of parts says nothing about the content by itself
    names = {"ChecksumSHA256": "sha256", "ChecksumCRC32C": "crc32c"}
    return {
        name: base64.b64decode(answer[field]).hex()
        for field, name in names.items()
        if answer.get(field) and "-" not in answer[field]
    }
