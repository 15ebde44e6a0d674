"""URIs of data outside of the store: what they name, and why one that carries a secret is refused.

Everything after the authority is the object's name as it is: ``?``, ``#`` and ``%`` are letters of S3 keys and of file
names. Only in ``http`` and ``https`` do they have the meaning that RFC 3986 gives them.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from metamlflow.redaction import SIGNED, names_secret

MAX_URI_BYTES = 8192
WEB = frozenset({"http", "https"})
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_CHAIN = re.compile(r"::[a-z][a-z0-9+.-]*://")
_SIGNED_QUERY = re.compile(rf"[?&;]({SIGNED}|signature)=", re.IGNORECASE | re.ASCII)
_SHARED_ACCESS = re.compile(r"[?&;](sig)=", re.IGNORECASE | re.ASCII)
# In the query or the fragment of a web address, what is called like a secret, however it is spelled.
_PARAMETER = re.compile(r"[?&;#]([^=&;#?]+)=")


_ALIASES = {"gcs": "gs", "s3a": "s3", "s3n": "s3"}


def plain_scheme(scheme: str) -> str:
    """Return a scheme as pointers are stored with it: in lower case, and ``s3`` for ``s3a``."""
    scheme = scheme.lower()
    return _ALIASES.get(scheme, scheme)


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
    return _user_info_problem(uri) or _signature_problem(uri)


def new_uri_problem(uri: object) -> str | None:
    """Return why ``uri`` is not to be registered, or None: more than :func:`uri_problem`, which is for readers too."""
    return uri_problem(uri) or secret_problem(str(uri))


def secret_problem(uri: str) -> str | None:
    """Return which part of ``uri`` may carry a secret, or None. A guess by names, so readers do not ask it."""
    scheme, _, rest = uri.partition("://")
    if problem := _user_info_problem(uri):
        return problem
    names = _PARAMETER.findall(rest) if scheme in WEB else []
    secret = next(filter(names_secret, names), None)
    return _signature_problem(uri) if secret is None else _signed_by(unquote(secret).lower()[:40])


def _user_info_problem(uri: str) -> str | None:
    scheme, _, rest = uri.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A secret key may hold a slash; then what follows it looks like a path.
    # (No pattern: for a text of colons its time would grow with the square of the length.)
    slash = rest.find("/")
    hides_slash = scheme not in {"file", *WEB} and ":" in authority and -1 < slash < rest.rfind("@")
    return "it carries user info (the part before '@')" if "@" in authority or hides_slash else None


def _signature_problem(uri: str) -> str | None:
    """A closed list, as SPEC.md has it: in the name of an object ``?key=`` may well be just that."""
    scheme, _, rest = uri.partition("://")
    found = _SIGNED_QUERY.search(rest)
    if found is None and scheme not in {"file", "s3", "gs"}:
        found = _SHARED_ACCESS.search(rest)
    return _signed_by(found[1].lower()) if found else None


def _signed_by(parameter: str) -> str:
    return f"it carries a signed query string (the parameter {parameter!r})"
