"""What a user may ask for: the options of s3fs as its users know them, and nothing that would be ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from metamlflow.backend.options import suggestion, wrong_endpoint
from metamlflow.errors import InvalidInputError, UnsupportedStoreError, redact
from metamlflow_s3.option_names import unknown_names
from metamlflow_s3.option_values import wrong_values

_OF_S3FS = frozenset(
    {
        "anon",
        "cache_regions",
        "client_kwargs",
        "config_kwargs",
        "default_block_size",
        "default_cache_type",
        "default_fill_cache",
        "endpoint_url",
        "fixed_upload_size",
        "key",
        "local_expiry_check",
        "max_concurrency",
        "password",
        "requester_pays",
        "s3_additional_kwargs",
        "secret",
        "session",
        "token",
        "use_ssl",
        "username",
        "version_aware",
    }
)
# s3fs hands what is left over to the session that it makes.
_OF_SESSION = frozenset({"event_hooks", "include_builtin_handlers", "profile", "session_vars"})
_OF_FSSPEC = frozenset({"listings_expiry_time", "max_paths", "skip_instance_cache", "use_listings_cache"})
KNOWN = _OF_S3FS | _OF_SESSION | _OF_FSSPEC

_MAPPINGS = ("client_kwargs", "config_kwargs", "s3_additional_kwargs")
_SECRETS = ("secret", "password", "token")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
# s3fs would pass both on, and its client fails at the first request.
_TWICE = {
    "endpoint_url": "endpoint_url",
    "key": "aws_access_key_id",
    "secret": "aws_secret_access_key",
    "token": "aws_session_token",
}
# What others call it, and where s3fs wants it.
_ELSEWHERE = {
    "region": "{'client_kwargs': {'region_name': …}}",
    "region_name": "{'client_kwargs': {'region_name': …}}",
    "verify": "{'client_kwargs': {'verify': …}}",
    "aws_access_key_id": "{'key': …}",
    "aws_secret_access_key": "{'secret': …}",
    "aws_session_token": "{'token': …}",
    "endpoint": "{'endpoint_url': …}",
    "role_arn": "a profile of ~/.aws/config that names the role, as {'profile': …}",
}


def parse_url(url: str) -> tuple[str, str]:
    """Return bucket and prefix of an ``s3://`` URL, the prefix without slashes at its ends.

    Raises:
        InvalidInputError: it names no bucket.
        UnsupportedStoreError: the bucket is of a kind that lists its keys in no order.
    """
    scheme, separator, path = url.partition("://")
    bucket, _, prefix = path.partition("/")
    if bucket.startswith("arn:"):
        raise InvalidInputError(
            f"{redact(url)!r} names an access point by its ARN",
            hint="Use the access point's alias, which is written like a bucket: s3://alias/prefix.",
        )
    if scheme != "s3" or not separator or not _BUCKET.fullmatch(bucket):
        raise InvalidInputError(
            f"{redact(url)!r} names no bucket",
            hint="Write it as s3://bucket/prefix; a bucket's name has 3 characters or more.",
        )
    if bucket.endswith("--x-s3"):
        raise UnsupportedStoreError(
            f"{bucket} is a directory bucket (S3 Express), which lists its keys in no order",
            hint="Use a general purpose bucket.",
        )
    return bucket, prefix.strip("/")


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what would not be honoured, or would fail at the first request in words that help nobody.

    Raises:
        InvalidInputError: an option is unknown, given twice, of a wrong type, or cannot be had in a store.
    """
    if options.get("asynchronous") or options.get("loop") is not None:
        raise InvalidInputError(
            "a store needs a synchronous file system with s3fs's own event loop",
            hint="Leave the options asynchronous and loop out; calls work inside a running event loop all the same.",
        )
    unknown = sorted(map(str, set(options) - KNOWN - {"asynchronous", "loop"}))
    if unknown:
        places = [f"instead of {name} give {_ELSEWHERE[name]}" for name in unknown if name in _ELSEWHERE]
        meant = ", ".join(f"{name}{'' if name in _ELSEWHERE else suggestion(name, KNOWN)}" for name in unknown)
        raise InvalidInputError(
            f"unknown storage options for s3://: {meant}",
            hint=f"{'; '.join(places) or 'Known are: ' + ', '.join(sorted(KNOWN))}.",
        )
    for name in _MAPPINGS:
        if options.get(name) is not None and not isinstance(options[name], Mapping):
            raise InvalidInputError(f"the storage option {name} is a {type(options[name]).__name__}, not a mapping")
    if wrong := list(unknown_names(options)):
        raise InvalidInputError(
            f"unknown storage options for s3://: {'; '.join(wrong)}",
            hint="s3fs would drop such a name, and with it the encryption, for example. Correct or remove it.",
        )
    if wrong := list(wrong_values(options)):
        raise InvalidInputError(f"storage options for s3:// of a wrong value: {'; '.join(wrong)}")
    _check_client(options, options.get("client_kwargs") or {})


def _check_client(options: Mapping[str, Any], client: Mapping[str, Any]) -> None:
    twice = [
        f"{name} and client_kwargs[{other!r}]"
        for name, other in _TWICE.items()
        if options.get(name) and client.get(other)
    ]
    if "config" in client:
        twice.append("client_kwargs['config'] (give its values in config_kwargs)")
    if twice:
        raise InvalidInputError(f"storage options are given twice: {'; '.join(twice)}", hint="Give each once.")
    endpoint = endpoint_of(options)
    if endpoint and (wrong := wrong_endpoint(endpoint)):
        raise InvalidInputError(
            f"the endpoint_url {redact(endpoint)!r} {wrong}",
            hint="Write it as https://s3.example.com or http://localhost:9000.",
        )


def endpoint_of(options: Mapping[str, Any]) -> str | None:
    """Return the address of the server that was given, or None: then the client has one of its own."""
    found = options.get("endpoint_url") or (options.get("client_kwargs") or {}).get("endpoint_url")
    return str(found) if found else None


def secrets_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what no message may show."""
    client, extra = options.get("client_kwargs") or {}, options.get("s3_additional_kwargs") or {}
    found = [options.get(name) for name in _SECRETS]
    found += [client.get("aws_secret_access_key"), client.get("aws_session_token"), extra.get("SSECustomerKey")]
    return tuple(value for value in found if isinstance(value, str) and value)
