"""What a user may ask for: the options of gcsfs as its users know them, and nothing that would be ignored."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from typing import Any

from metamlflow.backend.options import suggestion, wrong_amounts, wrong_endpoint, wrong_flags, wrong_texts
from metamlflow.errors import InvalidInputError, redact

# gcsfs takes any keyword and drops what it does not know: an option about encryption would be lost without a word.
_OF_GCSFS = frozenset(
    {
        "access",
        "block_size",
        "cache_timeout",
        "check_connection",
        "consistency",
        "default_location",
        "endpoint_url",
        "project",
        "requester_pays",
        "requests_timeout",
        "secure_serialize",
        "session_kwargs",
        "timeout",
        "token",
        "version_aware",
    }
)
_OF_EXTENDED_GCSFS = frozenset(
    {
        "finalize_on_close",
        "max_mrd_pool_cache_queue_size",
        "memmove_max_workers",
        "mrd_pool_cache_size",
        "retry_initial",
        "retry_maximum",
        "retry_multiplier",
        "retry_timeout",
    }
)
_OF_FSSPEC = frozenset({"batch_size", "listings_expiry_time", "max_paths", "skip_instance_cache", "use_listings_cache"})
OURS = frozenset({"kms_key_name"})
"""gcsfs knows this one for single files alone; here it holds for everything that is written."""
KNOWN = _OF_GCSFS | _OF_EXTENDED_GCSFS | _OF_FSSPEC | OURS

PROTOCOLS = ("gs", "gcs")
"""By which gcsfs looks up its defaults in fsspec's configuration."""

_FLAGS = ("check_connection", "secure_serialize", "skip_instance_cache", "use_listings_cache", "version_aware")
_TEXTS = ("access", "endpoint_url", "kms_key_name", "project")
_SWITCH = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"


def parse_url(url: str) -> tuple[str, str]:
    """Return bucket and prefix of a ``gs://`` or ``gcs://`` URL, the prefix without slashes at its ends."""
    scheme, separator, path = url.partition("://")
    bucket, _, prefix = path.partition("/")
    if scheme not in {"gs", "gcs"} or not separator or not bucket or "@" in bucket:
        raise InvalidInputError(
            f"{redact(url)!r} names no bucket",
            hint="Write it as gs://bucket/prefix; a bucket's name has 3 characters or more.",
        )
    return bucket, prefix.strip("/")


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what would not be honoured.

    Raises:
        InvalidInputError: an option is unknown, or cannot be had in a store.
    """
    if "anon" in options:
        raise InvalidInputError("gcsfs has no option 'anon'", hint="For a public bucket: {'token': 'anon'}.")
    if options.get("asynchronous") or options.get("loop") is not None:
        raise InvalidInputError(
            "a store needs a synchronous file system with gcsfs's own event loop",
            hint="Leave the options asynchronous and loop out; calls work inside a running event loop all the same.",
        )
    unknown = sorted(map(str, set(options) - KNOWN - {"asynchronous", "loop"}))
    if unknown:
        meant = ", ".join(f"{name}{suggestion(name, KNOWN)}" for name in unknown)
        raise InvalidInputError(
            f"unknown storage options for gs://: {meant}",
            hint=f"gcsfs would ignore them. Known are: {', '.join(sorted(KNOWN))}.",
        )
    if wrong := list(_wrong_values(options)):
        raise InvalidInputError(f"storage options for gs:// of a wrong value: {'; '.join(wrong)}")


def _wrong_values(options: Mapping[str, Any]) -> Iterator[str]:
    yield from wrong_flags("", options, _FLAGS)
    yield from wrong_texts("", options, _TEXTS)
    if options.get("kms_key_name") == "":
        yield "kms_key_name is empty, so nothing would be encrypted with a key of yours"
    if isinstance(options.get("requests_timeout"), str | int | float):
        yield from wrong_amounts("", options, ("requests_timeout",))
    endpoint = options.get("endpoint_url")
    if isinstance(endpoint, str) and endpoint not in {"", "default"} and (wrong := wrong_endpoint(endpoint)):
        yield f"the endpoint_url {redact(endpoint)!r} {wrong}; write it as https://host or http://host:4443"
    session = options.get("session_kwargs") or {}
    if not isinstance(session, Mapping):
        yield f"session_kwargs is a {type(session).__name__}, not a mapping"
    elif session:
        from aiohttp import ClientSession

        known = set(inspect.signature(ClientSession).parameters)
        yield from (f"session_kwargs[{name!r}]{suggestion(name, known)}" for name in session if name not in known)


def is_emulator(options: Mapping[str, Any]) -> bool:
    """Tell whether requests go to another server than Google's."""
    endpoint = options.get("endpoint_url") or os.environ.get("STORAGE_EMULATOR_HOST", "")
    return endpoint not in {"", "default"} and "googleapis.com" not in endpoint


def spare_emulators_grpc() -> None:
    """Switch off, unless the user has set it, what makes gcsfs try gRPC with TLS first: seconds to minutes a call.

    It works only before gcsfs is imported, and for those as well who open ``storage_path`` with pandas in this process.
    """
    os.environ.setdefault(_SWITCH, "false")
