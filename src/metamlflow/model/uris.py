"""URIs of data outside of the store: what they name, and why one that carries a secret is refused.

Everything after the authority is the object's name as it is: ``?``, ``#`` and ``%`` are letters of S3 keys and of file
names. Only in ``http`` and ``https`` do they have the meaning that RFC 3986 gives them.
"""

from __future__ import annotations

import re

MAX_URI_BYTES = 8192
WEB = frozenset({"http", "https"})
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_CHAIN = re.compile(r"::[a-z][a-z0-9+.-]*://")
# Parameters by which providers sign a URL, or that a web address hands a key along with.
_SIGNED = r"x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|awsaccesskeyid|googleaccessid"
_KEYS = r"signature|sig|token|access_token|auth|auth_token|api[-_]?key|key|secret|password|passwd|pwd|credentials?"
_SIGNED_QUERY = re.compile(rf"[?&;]({_SIGNED}|signature)=", re.IGNORECASE)
_SECRET_QUERY = re.compile(rf"[?&;]({_SIGNED}|{_KEYS})=", re.IGNORECASE)


def split_uri(uri: str) -> tuple[str, str]:
    """Return the root (scheme and authority, without a slash at its end) and the object's name below it.

    Of ``file:///data/x`` the root is ``file://`` and the name ``data/x``; the law is ``root + "/" + name == uri``.
    """
    scheme, _, rest = uri.partition("://")
    authority, _, name = rest.partition("/")
    return f"{scheme}://{authority}", name


def uri_problem(uri: object) -> str | None:  # noqa: PLR0911 (one line for each rule)
    """Return why ``uri`` cannot be stored as that of a pointer, without showing any of it, or None."""
    if not isinstance(uri, str):
        return f"a URI is a string, not {type(uri).__name__}"
    try:
        size = len(uri.encode())
    except UnicodeEncodeError:
        return "it is no valid UTF-8"
    scheme, separator, rest = uri.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return "it has no scheme in lower case, such as s3://"
    if size > MAX_URI_BYTES:
        return f"it takes {size:,} bytes, more than {MAX_URI_BYTES:,}"
    if not rest.strip("/"):
        return "it names nothing"
    if "\0" in uri:
        return "it holds a NUL character"
    if _CHAIN.search(uri):
        return "it chains file systems with '::'"
    return secret_problem(uri)


def secret_problem(uri: str) -> str | None:
    """Return which part of ``uri`` may carry a secret, or None."""
    scheme, _, rest = uri.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return "it carries user info (the part before '@')"
    # In the name of an object ``?key=`` may well be just that.
    if found := (_SECRET_QUERY if scheme in WEB else _SIGNED_QUERY).search(rest):
        return f"it carries a signed query string (the parameter {found[1].lower()!r})"
    # A secret key may hold a slash; then what follows it looks like a path.
    if scheme not in {"file", *WEB} and ":" in authority and re.search(r":[^/]*/.*@", rest):
        return "it carries user info (the part before '@')"
    return None
