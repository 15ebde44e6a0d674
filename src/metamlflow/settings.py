"""What a client is told, checked: where the store is, options, types, keys."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from metamlflow.errors import InvalidInputError
from metamlflow.format.manifests import artifact_type_problem
from metamlflow.store.cache_leases import parse_size
from metamlflow.store.opening import Store
from metamlflow.store.pointer_policy import VARIABLE as POLICY_VARIABLE

_MAX_KEY_CHARACTERS = 1000


URI_VARIABLE = "METAMLFLOW_STORAGE_URI"
OPTIONS_VARIABLE = "METAMLFLOW_STORAGE_OPTIONS"
SOURCES_VARIABLE = "METAMLFLOW_SOURCE_OPTIONS"


def opened_store(
    uri: object,
    options: Mapping[str, Any] | None,
    source_options: Mapping[str, Mapping[str, Any]] | None,
    pointer_policy: Mapping[str, str] | None,
) -> Store:
    """Return the store that a client is made for; what is None comes from the environment. No network.

    Raises:
        InvalidInputError: an argument, or what a variable holds, cannot be accepted.
    """
    uri = uri if uri is not None else os.environ.get(URI_VARIABLE)
    if uri is not None and not isinstance(uri, str | os.PathLike):
        raise InvalidInputError(f"a store is named by a text or a path, not {type(uri).__name__}")
    if options is not None and not isinstance(options, Mapping):
        raise InvalidInputError(f"storage_options is a mapping, not {type(options).__name__}")
    if not uri:
        raise InvalidInputError(
            "no store was named", hint=f"Give storage_uri, such as 'file://./store', or set {URI_VARIABLE}."
        )
    url = resolve_url(os.fspath(uri))
    if options is None:
        # A local folder has no options: those in the environment are meant for a bucket.
        options = {} if url.startswith("file://") else options_from_environment(OPTIONS_VARIABLE)
    if source_options is None:
        source_options = options_from_environment(SOURCES_VARIABLE)
    if pointer_policy is None:
        pointer_policy = options_from_environment(POLICY_VARIABLE)
    return Store(url, options, source_options=source_options, pointer_policy=pointer_policy)


def bytes_of(size: int | str | None) -> int | None:
    """Return a size that is given as a number of bytes or as a text such as ``10GB``."""
    return parse_size(size) if isinstance(size, str) else size


def check_grace(grace: object) -> None:
    """Refuse what is no grace of a store."""
    if grace is None:
        return
    if not isinstance(grace, timedelta) or not timedelta(minutes=1) <= grace <= timedelta(days=3650):
        raise InvalidInputError(f"a grace is a timedelta between a minute and ten years, not {grace!r:.80}")


def checked_type(value: object) -> str:
    """Return an artifact type, or refuse it."""
    if not isinstance(value, str) or artifact_type_problem(value):
        raise InvalidInputError(
            f"{value!r:.80} is no artifact type", hint="A type is up to 100 letters, digits, '.', '_', '/' and '-'."
        )
    return value


def checked_key(key: object) -> str | None:
    """Return an idempotency key, or refuse it."""
    if key is None:
        return None
    if not isinstance(key, str) or not 0 < len(key) <= _MAX_KEY_CHARACTERS or not key.isprintable():
        raise InvalidInputError(
            f"an idempotency key is a text of 1 to {_MAX_KEY_CHARACTERS} characters, not {key!r:.80}"
        )
    return key


def options_from_environment(variable: str) -> Mapping[str, Any]:
    """Return the JSON object that an environment variable holds; empty if it is not set."""
    text = os.environ.get(variable)
    if not text:
        return {}
    try:
        options = json.loads(text)
    except ValueError:
        raise InvalidInputError(f"{variable} is not valid JSON") from None  # its value may be secret
    if not isinstance(options, dict):
        raise InvalidInputError(f"{variable} is not a JSON object")
    return cast("dict[str, Any]", options)


def _may_carry_secret(rest: str) -> bool:
    place = rest.partition("/")[0]
    _, colon, port = place.rpartition(":")
    is_port = port.isdigit() and "@" not in rest
    return "@" in place or "?" in rest or "#" in rest or (bool(colon) and not is_port and not place.endswith("]"))


def resolve_url(uri: str) -> str:
    """Return a URI with a scheme and, for a local store, an absolute path."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() == "file":
        path = rest if separator else uri.removeprefix("file:")
        if separator and path.startswith("localhost/"):
            path = path.removeprefix("localhost")
        if not path or "\0" in path:
            raise InvalidInputError(f"{uri!r} names no folder", hint="Give a path, such as file://./store.")
        return f"file://{os.path.abspath(os.path.expanduser(path))}"  # noqa: PTH100, PTH111 (keeps links unresolved)
    if _may_carry_secret(rest):
        # Not even redacted: a secret key with a slash in it does not stand where user info does.
        raise InvalidInputError(
            f"the {scheme}:// URI of the store carries user info, a query or a fragment",
            hint="Give credentials in storage_options or the environment; the URI is shown in logs and errors.",
        )
    if not rest.strip("/"):
        raise InvalidInputError(f"{uri!r} names no place", hint="Give a bucket, such as s3://bucket/prefix.")
    return f"{scheme.lower()}://{rest.rstrip('/')}"
