"""Options for data outside of the store: credentials belong to a server, and are given for that server only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from metamlflow.errors import InvalidInputError
from metamlflow.model.uris import plain_scheme
from metamlflow.store.catalog.pointer_policy import HOSTS

# Options without secrets, which may therefore be used with any server that a URI names.
_OF_ANY_HOST = frozenset(
    {
        "block_size", "cache_options", "cache_type", "encoded", "listings_expiry_time", "max_paths", "port", "proxy",
        "proxy_auth", "proxy_headers", "same_scheme", "simple_links", "size_policy", "skip_instance_cache", "ssl",
        "timeout", "trust_env", "use_listings_cache", "verify_ssl",
    }
)  # fmt: skip
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*")
_CLIENT = "client_kwargs"  # options of the connection, one level deeper


def check_source_options(by_place: Mapping[Any, Any]) -> None:
    """Refuse anything but a mapping of places to options, and credentials that would be sent to any server.

    Raises:
        InvalidInputError: the options are malformed or too broad; the error shows no value.
    """
    if not isinstance(by_place, Mapping):
        raise _misgiven()
    for place, options in by_place.items():
        if not isinstance(place, str) or not place or not isinstance(options, Mapping):
            raise _misgiven()
        scheme, _, rest = place.partition("://")
        scheme = plain_scheme(scheme.removesuffix(":"))
        if not _SCHEME.fullmatch(scheme):
            raise _misgiven()  # such as s3:/bucket, or a path: the options would apply to nothing
        if scheme in HOSTS and not rest.partition("/")[0]:
            _check_any_host(scheme, options)


def _check_any_host(scheme: str, options: Mapping[Any, Any]) -> None:
    inner = options.get(_CLIENT)
    own = [str(name) for name in options if name != _CLIENT or not isinstance(inner, Mapping)]
    own += [str(name) for name in (inner if isinstance(inner, Mapping) else ())]
    if risky := sorted(set(own) - _OF_ANY_HOST):
        raise InvalidInputError(
            f"source_options gives {', '.join(risky)} for {scheme!r}, so for every server that a pointer names",
            hint=f"Credentials belong to a host. Write {{'{scheme}://data.example.com/': {{…}}}}: then they go there "
            "and nowhere else, and not along with a redirect to another host.",
        )


def _misgiven() -> InvalidInputError:
    return InvalidInputError(
        "source_options maps a scheme such as 's3', or the beginning of a URI, to options of its file system",
        hint="Write {'s3': {'profile': 'lake'}, 's3://partner-data/': {'anon': True}}.",
    )
