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


_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_REST = re.compile(r"(?:-[0-9a-f]{32})?(?:\.[a-z0-9]{1,8}){0,2}", re.ASCII)
_GOES_ON = frozenset("0123456789abcdefghijklmnopqrstuvwxyz")


def blobs_in(uri: str) -> set[str]:
    """The keys of the blobs that it may lead to, if what it leads to lies in the store: section 13, step 3."""
    found = set[str]()
    for text in (uri, unquote(uri), uri.lower(), unquote(uri).lower()):
        for start in range(len(text) - 63):
            if not _DIGEST.fullmatch(text[start : start + 64]):
                continue
            for end in range(start + 64, min(len(text), start + 64 + 33 + 18) + 1):
                if _REST.fullmatch(text[start + 64 : end]) and text[end : end + 1] not in _GOES_ON:
                    found.add(f"blobs/sha256/{text[start : start + 2]}/{text[start:end]}")
    return found


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
