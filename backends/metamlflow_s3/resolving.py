"""What is taken from the surroundings, resolved once for all HTTP clients: s3fs's, the sender of large parts, obstore.

The client of s3fs is the reference: its users know which variables, profiles and files it reads. The other two are told
each value that it arrived at. What obstore reads from the environment by itself, and cannot be told otherwise, is found
by asking it for the names that it knows, so that a name of a later release is not missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

PROTOCOLS = ("s3", "s3a")
"""By which s3fs looks up its defaults in fsspec's configuration."""
_PREFIX = "AWS_"
# Each is told to obstore in any case, or is about finding credentials, which it is given.
_PINNED = frozenset(
    {"bucket", "bucket_name", "endpoint", "endpoint_url", "endpoint_url_s3", "region", "default_region"}
    | {"virtual_hosted_style_request", "checksum_algorithm", "conditional_put", "unsigned_payload", "s3_express"}
    | {"skip_signature", "request_payer", "allow_http", "connect_timeout", "read_timeout", "timeout"}
    | {"access_key_id", "secret_access_key", "session_token", "token", "web_identity_token_file", "role_arn"}
    | {"role_session_name", "endpoint_url_sts", "metadata_endpoint", "imdsv1_fallback"}
    | {"container_credentials_relative_uri", "container_credentials_full_uri", "container_authorization_token_file"}
    # Of requests that are never made through it.
    | {"copy_if_not_exists", "disable_tagging", "disable_bulk_delete"}
)
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_NOWHERE = "http://127.0.0.1:9"


def proxies_for(given: Mapping[str, str] | None, endpoint: str) -> dict[str, str]:
    """Return the proxies, by scheme, that a client for this endpoint uses; ``given`` by options, which may be empty."""
    from botocore.utils import get_environ_proxies

    return dict(get_environ_proxies(endpoint) if given is None else given)


def proxy_options(proxies: Mapping[str, str], endpoint: str) -> dict[str, str]:
    """Return how obstore is told the proxy for an endpoint, or to use none whatever the environment says.

    Given a proxy, it does not look into the environment for others (``ALL_PROXY``, a CIDR in ``NO_PROXY``). Where none
    is wanted it is given one that is nowhere, for all hosts but the endpoint's: it follows redirects, and cannot be
    told not to; one to another host ends there.
    """
    from botocore.httpsession import ProxyConfiguration

    proxy = ProxyConfiguration(proxies=dict(proxies)).proxy_url_for(endpoint)
    if proxy:
        return {"proxy_url": proxy}
    return {"proxy_url": _NOWHERE, "proxy_excludes": urlsplit(endpoint).hostname or ""}


def certificates_of_obstore_alone(environment: Mapping[str, str]) -> list[str]:
    """Return the variables by which obstore would trust other authorities than the s3fs client."""
    return [name for name in _CERTIFICATES if environment.get(name)]


def read_by_obstore_alone(environment: Mapping[str, str]) -> list[str]:
    """Return the variables that obstore would take from the environment by itself, and s3fs would not."""
    candidates = [
        name
        for name in environment
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX).lower() not in _PINNED and environment[name]
    ]
    return sorted(name for name in candidates if _known_to_obstore(name))


def _known_to_obstore(name: str) -> bool:
    from obstore.exceptions import BaseError, UnknownConfigurationKeyError
    from obstore.store import S3Store

    try:
        S3Store("-", config={name.lower(): "-"}, credential_provider=dict)  # type: ignore[arg-type]
    except UnknownConfigurationKeyError:
        return False
    except BaseError:  # a name that it knows, and a value that it does not
        return True
    return True
