"""Section 4: what a URI is, and which ones a reader refuses."""

from __future__ import annotations

import re
from urllib.parse import unquote

_URI = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.ASCII | re.DOTALL)
_CHAIN = re.compile(r"::[a-z][a-z0-9+.-]*://", re.ASCII)
_SIGNATURES = (
    "X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|X-Goog-Signature|X-Goog-Credential|AWSAccessKeyId"
    "|GoogleAccessId|Signature"
)
_SIGNED = re.compile(rf"[?&;](?:{_SIGNATURES})=", re.ASCII | re.IGNORECASE)
_SIG = re.compile(r"[?&;]sig=", re.ASCII | re.IGNORECASE)


_FILE = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?:-[0-9a-f]{32})?(?:\.[a-z0-9]{1,8}){0,2}", re.ASCII)


def blobs_in(uri: str) -> set[str]:
    """The keys of the blobs that it may lead to, if what it leads to lies in the store: section 13, step 3."""
    spellings = [text for found in (uri, unquote(uri)) for text in (found, found.lower())]
    files = [file for text in spellings for file in _FILE.findall(text)]
    return {f"blobs/sha256/{file[:2]}/{file}" for file in files}


def is_uri(text: str) -> bool:
    found = _URI.fullmatch(text)
    return (
        found is not None
        and found[2].strip("/") != ""
        and len(text.encode("utf-8")) <= 8_192
        and "\0" not in text
        and not _CHAIN.search(text)
        and not _has_user_info(found[1], found[2])
        and not _is_signed(found[1], text)
    )


def _has_user_info(scheme: str, rest: str) -> bool:
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return True
    behind = rest.partition("/")[2]
    return scheme not in {"file", "http", "https"} and ":" in authority and "@" in behind


def _is_signed(scheme: str, text: str) -> bool:
    if _SIGNED.search(text):
        return True
    return scheme not in {"file", "s3", "gs"} and _SIG.search(text) is not None
