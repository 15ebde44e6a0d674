"""Removal of secrets, and of characters that would add a line or control a terminal, from texts for display.

A secret is found by its position in a URL, not by its letters alone: with the secret ``test``, ``…/latest`` is
unchanged. Texts from servers, clients and file systems quote their input, so values known to be secret are removed from
those as well, short ones only as whole words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, unquote_plus

UNDECODED = "".join(map(chr, range(0xDC80, 0xDD00)))
"""The surrogates that Python uses for bytes of a file name that are not UTF-8."""

_HIDDEN = "…"
_LONG = 8  # a secret of at least so many characters is hidden everywhere, also inside of words
_SHORT = 4  # shorter values are not hidden: they are also common words, and texts would become unreadable

# User info ends at the last @ before a slash. If it has a colon that no port follows, it may contain any character.
# In an address of this library, the name of an artifact is in its place, and a version behind it.
_ADDRESSED = r"(?!(?<=\bmetamlflow://)[A-Za-z0-9._-]+@)"
_USER_INFO = re.compile(rf"(?<=://){_ADDRESSED}(?:[^/?#\s'\"]*|(?!\[)[^/?#\s@:]*:(?!\d*(?:[/?#\s'\"]|$))\S*)@")
# A bucket name has no port, so a colon after it starts a password.
_USER_INFO_OF_BUCKET = re.compile(r"((?:\bs3a?|\bgc?s)://)[^/?#\s@:'\"]*:[^\s'\"]*@", re.IGNORECASE)
# A text that was truncated before the @.
_CUT_OFF = re.compile(r"(?<=://)(?!\[)[^/?#\s@:'\"]*:(?!:)(?!\d*(?:[/?#\s'\"),.;…]|$))[^/?#\s'\"]*")
_USER_INFO_OF_ONE = re.compile(r"(?<=://)(?!\[)[^/?#\s@:]*:(?!\d*(?:[/?#]|$)).*@", re.DOTALL)
_ENCODED_USER_INFO = re.compile(r"(?<=%3A%2F%2F)(?:(?!%2F)[^/?#&\s'\"])*%40", re.IGNORECASE)
_QUERY = re.compile(r"(?<=\?)[^#\s]+")

SIGNED = r"x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|awsaccesskeyid|googleaccessid"
"""Pattern of the query parameters of a signed URL."""

SECRET_NAME = re.compile(
    r".*(token|secret|password|passwd|pwd|signature|credentials?|apikey|accesskey|authkey|subscriptionkey|keypairid)"
    r"|awsaccesskeyid|googleaccessid|key|auth|sig|sas|code|policy|delegation|jwt|session|sessionid|hdnts"
)
"""Pattern of query parameters that hold secrets, matched against the letters of a name in lower case."""

_SIGNED_QUERY = re.compile(rf"([?&;](?:{SIGNED}|signature|sig)=)[^&;#\s'\"<>)]+", re.IGNORECASE)
_WEB_ADDRESS = re.compile(r"https?://[^\s'\"<>]+", re.IGNORECASE)
_PARAMETER = re.compile(r"(?<=[?&;#])([^=&;#?]+)=([^&;#]*)")
_AUTHORITY = re.compile(rf"(?<=://){_ADDRESSED}([^/?#]*)@")


def redact(uri: str) -> str:
    """Return ``uri`` on one line, without user info and query values, since these carry secrets."""
    hidden = _USER_INFO_OF_ONE.sub(f"{_HIDDEN}@", uri) if re.match(r"[A-Za-z][A-Za-z0-9+.:-]*://", uri) else uri
    return printable(_QUERY.sub(_HIDDEN, without_secrets(hidden)))


def without_secrets(text: str) -> str:
    """Return a text without the user info and the signed queries of the URLs in it; the rest is unchanged."""
    if "://" in text:
        text = _USER_INFO.sub(f"{_HIDDEN}@", _USER_INFO_OF_BUCKET.sub(rf"\1{_HIDDEN}@", text))
        text = _WEB_ADDRESS.sub(_without_parameters, _CUT_OFF.sub(_HIDDEN, text))
    if "%" in text:
        text = _ENCODED_USER_INFO.sub(f"{_HIDDEN}%40", text)
    return _SIGNED_QUERY.sub(rf"\1{_HIDDEN}", text) if "=" in text else text


def _without_parameters(address: re.Match[str]) -> str:
    return _PARAMETER.sub(lambda found: f"{found[1]}={_HIDDEN}" if names_secret(found[1]) else found[0], address[0])


def names_secret(parameter: str) -> bool:
    """Return whether the name of a query parameter suggests a secret, in any spelling."""
    return bool(SECRET_NAME.fullmatch(re.sub("[^a-z]", "", unquote(parameter).lower())))


def secrets_in(url: str) -> tuple[str, ...]:
    """Return the user info and the secret parameters of a URL, as written and decoded."""
    found = set()
    whole = _USER_INFO_OF_ONE.findall(url) + [match[1] + "@" for match in _AUTHORITY.finditer(url)]
    for info in whole:
        user, _, password = info[:-1].partition(":")
        found |= {info, password or user, f"{user}:{password}"}
    query = re.split(r"[?#]", url, maxsplit=1)[1:]
    found |= {value for name, value in _PARAMETER.findall("?" + "&".join(query)) if names_secret(name)}
    meant = found | {unquote(value) for value in found} | {unquote_plus(value) for value in found}
    return tuple(sorted((value for value in meant if value.strip(":@")), key=len, reverse=True))


def quotes_secret(error: BaseException) -> bool:
    """Return whether an error, or one in its chain of causes, quotes a URL with a secret."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        if (one := todo.pop()) is None or id(one) in seen:
            continue
        seen.add(id(one))
        if any(without_secrets(text) != text for text in (str(one), repr(one))):
            return True
        todo += [one.__cause__, one.__context__]
    return False


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these values: long ones everywhere, shorter ones as whole words."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _LONG or secret.endswith("@"):
            text = text.replace(secret, f"{_HIDDEN}@" if secret.endswith("@") else _HIDDEN)
        elif len(secret) >= _SHORT or ":" in secret:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", _HIDDEN, text)
    return text


def printable(text: str, *, keep: str = "") -> str:
    """Return a text with control characters escaped, so that no name adds a line and no server moves the cursor."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else repr(char)[1:-1] for char in text)
