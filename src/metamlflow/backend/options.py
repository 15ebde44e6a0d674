"""Storage options, checked: what a client would drop, or take for something else, is refused before it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

_YES = frozenset({"true", "yes", "on", "1"})


def with_configured_defaults(options: Mapping[str, Any], protocols: Iterable[str]) -> dict[str, Any]:
    """Return the options with those of fsspec's configuration (files, ``FSSPEC_…``), which clients add unseen."""
    from fsspec.config import conf

    defaults: dict[str, Any] = {}
    for protocol in protocols:
        defaults |= conf.get(protocol, {})
    return defaults | dict(options)


def suggestion(name: object, known: Iterable[str]) -> str:
    """Return which of the known names may have been meant, as a question, or nothing."""
    by_lower = {each.lower(): each for each in known}
    close = get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.7)
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""


def wrong_flags(where: str, given: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    """Yield a line for each switch whose value would count as the opposite of what it says: any text counts as true."""
    for name in names:
        value = given.get(name)
        if value is None or isinstance(value, bool) or value in (0, 1):
            continue
        if not (isinstance(value, str) and value.lower() in _YES):
            yield f"{where}{name} is {value!r}, which would count as true: give true or false"


def wrong_texts(where: str, given: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    """Yield a line for each value that has to be a text and is another thing; it is not shown, as it may be secret."""
    for name in names:
        value = given.get(name)
        if value is not None and not isinstance(value, str):
            yield f"{where}{name} is a {type(value).__name__}, not a text"


def wrong_amounts(where: str, given: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    """Yield a line for each value that has to be a number above 0 and is not."""
    for name in names:
        value = given.get(name)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
            continue
        yield f"{where}{name} is {value!r}, not a number above 0"


def wrong_endpoint(endpoint: str) -> str | None:
    """Return what is wrong with the address of a server, in words that follow it, or None."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is not a URL: {error}"
    if not endpoint.startswith(("http://", "https://")):
        return "is no URL"
    if not host:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "carries a user or a password, which no request would use: give credentials in options of their own"
    return "has a query or a fragment" if parts.query or parts.fragment else None
