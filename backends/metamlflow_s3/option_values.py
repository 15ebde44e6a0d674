"""Values of s3fs's options: those that one client would take for something else, and another would refuse.

The engines read them at different times and with different care. So what would only fail in one of them, or be dropped,
is refused before anything is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metamlflow.backend.options import wrong_amounts, wrong_flags, wrong_texts

_FLAGS = frozenset(
    {"anon", "default_fill_cache", "fixed_upload_size", "local_expiry_check", "requester_pays", "skip_instance_cache"}
    | {"use_listings_cache", "use_ssl", "version_aware"}
)
_TEXTS = ("key", "secret", "token", "username", "password", "profile", "endpoint_url")
_TEXTS_OF_CLIENT = (
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "endpoint_url",
    "region_name",
)
_AMOUNTS = ("connect_timeout", "read_timeout", "max_pool_connections")
_CHECKSUMS = ("request_checksum_calculation", "response_checksum_validation")
_WHEN = ("when_supported", "when_required")
_OF_KMS = ("SSEKMSKeyId", "SSEKMSEncryptionContext")
_OF_CUSTOMER = ("SSECustomerKey", "SSECustomerKeyMD5")


def wrong_values(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each value that would not mean what it says; the mappings are mappings or None."""
    client, config = options.get("client_kwargs") or {}, options.get("config_kwargs") or {}
    yield from wrong_flags("", options, sorted(_FLAGS))
    yield from wrong_texts("", options, _TEXTS)
    yield from _half_credentials(options, client)
    yield from wrong_flags("client_kwargs.", client, ("use_ssl",))
    yield from wrong_texts("client_kwargs.", client, _TEXTS_OF_CLIENT)
    yield from _verification(client.get("verify"))
    yield from wrong_amounts("config_kwargs.", config, _AMOUNTS)
    for name in _CHECKSUMS:
        if config.get(name) is not None and str(config[name]).lower() not in _WHEN:
            yield f"config_kwargs.{name} is {config[name]!r}, and has to be one of {', '.join(_WHEN)}"
    yield from _encryption(options.get("s3_additional_kwargs") or {})


def _half_credentials(options: Mapping[str, Any], client: Mapping[str, Any]) -> Iterator[str]:
    key = options.get("key") or options.get("username") or client.get("aws_access_key_id")
    secret = options.get("secret") or options.get("password") or client.get("aws_secret_access_key")
    if bool(key) != bool(secret) and not options.get("anon"):
        yield f"{'a key without its secret' if key else 'a secret without its key'}: give both or none"


def _verification(verify: Any) -> Iterator[str]:
    if isinstance(verify, str) and not Path(verify).exists():
        yield f"client_kwargs.verify names the certificates {verify}, which do not exist"


def _encryption(extra: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(extra.get("BucketKeyEnabled", False), bool):  # one client takes texts, the other refuses them
        yield "s3_additional_kwargs.BucketKeyEnabled has to be true or false"
    asked = extra.get("ServerSideEncryption")
    if "ServerSideEncryption" in extra and not asked:
        yield "s3_additional_kwargs.ServerSideEncryption is empty, so nothing would be encrypted"
    if not str(asked or "").startswith("aws:kms"):
        # AWS refuses them; other servers drop them, and store in clear.
        yield from (
            f"s3_additional_kwargs.{name} takes a ServerSideEncryption of aws:kms beside it"
            for name in _OF_KMS
            if extra.get(name)
        )
    if not extra.get("SSECustomerAlgorithm"):
        yield from (
            f"s3_additional_kwargs.{name} takes SSECustomerAlgorithm beside it"
            for name in _OF_CUSTOMER
            if extra.get(name)
        )
