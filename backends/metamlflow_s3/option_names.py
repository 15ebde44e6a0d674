"""Names inside the mappings of s3fs's options: one that no request or client knows would be dropped without a word.

s3fs filters ``s3_additional_kwargs`` by what each request takes, so that a misspelt encryption would store in clear.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from metamlflow.backend.options import suggestion

# What goes along with every request that stores: both PutObject and CreateMultipartUpload know it.
_STORING = frozenset(
    {"ACL", "BucketKeyEnabled", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage"}
    | {"ContentType", "ExpectedBucketOwner", "Expires", "GrantFullControl", "GrantRead", "GrantReadACP"}
    | {"GrantWriteACP", "Metadata", "ObjectLockLegalHoldStatus", "ObjectLockMode", "ObjectLockRetainUntilDate"}
    | {"RequestPayer", "SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5", "SSEKMSEncryptionContext"}
    | {"SSEKMSKeyId", "ServerSideEncryption", "StorageClass", "Tagging", "WebsiteRedirectLocation"}
)
_COPYING = frozenset({"CopySourceSSECustomerAlgorithm", "CopySourceSSECustomerKey", "CopySourceSSECustomerKeyMD5"})
# The library says these itself, for each request.
_OWN = frozenset({"Bucket", "Key", "ChecksumAlgorithm", "ChecksumType"})
_CLIENT = frozenset(
    {"api_version", "aws_access_key_id", "aws_account_id", "aws_secret_access_key", "aws_session_token", "config"}
    | {"endpoint_url", "region_name", "use_ssl", "verify"}
)
_CONFIG_S3 = frozenset(
    {"addressing_style", "payload_signing_enabled", "s3_disable_multiregion_access_points"}
    | {"us_east_1_regional_endpoint", "use_accelerate_endpoint", "use_arn_region", "use_dualstack_endpoint"}
)
_CONFIG = frozenset(
    {"client_cert", "connect_timeout", "max_pool_connections", "proxies", "proxies_config", "read_timeout"}
    | {"region_name", "request_checksum_calculation", "response_checksum_validation", "retries", "s3"}
    | {"signature_version", "tcp_keepalive", "use_dualstack_endpoint", "use_fips_endpoint"}
)
# Of mappings within config_kwargs: botocore asks them for these names, and looks at no other.
_WITHIN_CONFIG = {
    "s3": _CONFIG_S3,
    "proxies": frozenset({"http", "https"}),
    "proxies_config": frozenset({"proxy_ca_bundle", "proxy_client_cert", "proxy_use_forwarding_for_https"}),
    "retries": frozenset({"max_attempts", "mode", "total_max_attempts"}),
}
_OF_AIO = frozenset({"connector_args", "http_session_cls", "warm_up_loader_caches"})


def unknown_names(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each name that nothing knows, with what may have been meant; the values are mappings or None."""
    given = options.get("s3_additional_kwargs") or {}
    if unknown := set(given) - _STORING - _COPYING:
        # A later botocore may know more; its description of S3 is read for this alone.
        yield from _told("s3_additional_kwargs", unknown, _STORING | _COPYING | (_storing_requests() - _OWN))
    yield from _told("client_kwargs", set(options.get("client_kwargs") or {}) - _CLIENT, _CLIENT)
    config = options.get("config_kwargs") or {}
    if unknown := set(config) - _CONFIG:
        yield from _told("config_kwargs", unknown, _CONFIG | _OF_AIO | _settings_of_botocore())
    for name, known in _WITHIN_CONFIG.items():
        within = config.get(name)
        if isinstance(within, Mapping):
            yield from _told(f"config_kwargs[{name!r}]", set(within) - known, known)
        elif within is not None:
            yield f"config_kwargs[{name!r}] is a {type(within).__name__}, not a mapping"


def _told(where: str, unknown: set[Any], known: Iterable[str]) -> Iterator[str]:
    known = set(known)
    for name in sorted(map(str, unknown - known)):
        own = " (the library says it for each request)" if name in _OWN else suggestion(name, known)
        yield f"{where}[{name!r}]{own}"


def _storing_requests() -> set[str]:
    from botocore.session import get_session

    model = get_session().get_service_model("s3")
    requests = [model.operation_model(name).input_shape.members for name in ("PutObject", "CreateMultipartUpload")]
    return set(requests[0]) & set(requests[1])


def _settings_of_botocore() -> set[str]:
    from botocore.config import Config

    return set(Config.OPTION_DEFAULTS)
