"""Which engine makes the requests of small objects: obstore, if it can be told all that s3fs was told; else s3fs.

An option that one engine honours and the other drops would be a security incident (encryption, an endpoint, a trusted
certificate). So every option that a user gave must be on the list below, and every setting that the client took from
its environment or profile must be one that obstore knows how to keep.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Self
from urllib.parse import urlsplit

from metamlflow.backend.per_process import PerProcess
from metamlflow_s3.connection import S3Connection
from metamlflow_s3.obstore_engine import FastEngine, usable_in_this_process
from metamlflow_s3.options import endpoint_of
from metamlflow_s3.resolving import (
    certificates_of_obstore_alone,
    proxies_for,
    proxy_options,
    read_by_obstore_alone,
)

_log = logging.getLogger(f"metamlflow.backends.{__name__}")

ENGINE_VARIABLE = "METAMLFLOW_S3_ENGINE"
"""``auto`` (the default) or ``s3fs``, which never runs another engine."""
ON_DEMAND = f"{ENGINE_VARIABLE} is s3fs"

# Borrowed from the s3fs client as it was set up (credentials, endpoint, region), or of no concern to a request.
_BORROWED = frozenset(
    {"anon", "key", "secret", "token", "username", "password", "profile", "session", "endpoint_url", "use_ssl"}
    | {"default_block_size", "default_cache_type", "default_fill_cache", "fixed_upload_size", "max_concurrency"}
    | {"local_expiry_check", "listings_expiry_time", "max_paths", "skip_instance_cache", "use_listings_cache"}
)
_TRANSLATED = frozenset({"requester_pays", "client_kwargs", "config_kwargs", "s3_additional_kwargs"})
_CLIENT = frozenset(
    {"endpoint_url", "region_name", "use_ssl", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"}
)
_CONFIG = frozenset(
    {"connect_timeout", "read_timeout", "max_pool_connections", "retries", "s3", "region_name", "proxies"}
    | {"request_checksum_calculation", "response_checksum_validation"}
)
_CONFIG_S3 = frozenset({"addressing_style", "payload_signing_enabled"})
_ENCRYPTION = {
    "ServerSideEncryption": "server_side_encryption",
    "SSEKMSKeyId": "sse_kms_key_id",
    "BucketKeyEnabled": "sse_bucket_key_enabled",
}
_UNUSUAL = ("use_dualstack_endpoint", "use_fips_endpoint", "client_cert", "proxies_config", "auth_scheme_preference")
_OF_SESSION = ("use_dualstack_endpoint", "use_fips_endpoint", "auth_scheme_preference")
_ALGORITHMS = frozenset({"AES256", "aws:kms", "aws:kms:dsse"})


class EngineChoice:
    """The engine of a connection, chosen at its first use in each process. Thread-safe.

    Args:
        connection: of the s3fs client.
        bucket: what all requests are about.
        options: of ``s3fs.S3FileSystem``, checked.
    """

    def __init__(self, connection: S3Connection, bucket: str, options: Mapping[str, Any]) -> None:
        self._connection = connection
        self._bucket = bucket
        self._options = options
        self._chosen = PerProcess(self._choose)

    @property
    def fast(self) -> FastEngine | None:
        """The fast engine, or None where s3fs makes all requests."""
        chosen = self._engine()
        return None if isinstance(chosen, str) or chosen.given_up else chosen

    @property
    def reason(self) -> str | None:
        """Why s3fs makes all requests, or None."""
        chosen = self._engine()
        return chosen if isinstance(chosen, str) else chosen.given_up

    def _engine(self) -> FastEngine | str:
        try:
            return self._chosen.get()
        except Exception as error:  # noqa: BLE001 (the s3fs client says it at its next request, in good words)
            return f"the s3fs client could not be set up: {error}"

    def _choose(self) -> FastEngine | str:
        engine = fast_engine(self._connection, self._bucket, self._options)
        if isinstance(engine, str):
            _log.info("s3fs makes all requests to s3://%s: %s", self._bucket, engine)
        return engine


def fast_engine(connection: S3Connection, bucket: str, options: Mapping[str, Any]) -> FastEngine | str:
    """Return the engine, or why s3fs makes all requests. Makes no request to S3 itself."""
    if reason := _unavailable() or untranslated(options):
        return reason
    filesystem = connection.own_filesystem
    client = _Client.named(filesystem, bucket, options) or _Client.connected(connection)
    if reason := client.unlike(filesystem):
        return reason
    anonymous = bool(filesystem.anon)
    credentials, expiring = (None, False) if anonymous else connection.credentials()
    if credentials is None and not anonymous:
        return "there are no credentials"
    settings = {**client.settings(bucket, options), "skip_signature": anonymous}
    return FastEngine(bucket, settings, client.http_options(), credentials, expiring=expiring)


def _unavailable() -> str | None:
    wanted = os.environ.get(ENGINE_VARIABLE) or "auto"
    if wanted not in {"auto", "s3fs"}:
        return f"{ENGINE_VARIABLE} is {wanted!r}, which is neither auto nor s3fs"
    if wanted == "s3fs":
        return ON_DEMAND
    if find_spec("obstore") is None:
        return "obstore is not installed"
    if not usable_in_this_process():
        return "this process was forked after obstore was loaded, and there it cannot run"
    return None


def untranslated(options: Mapping[str, Any]) -> str | None:
    """Return which of a user's options obstore cannot be told, or None. ``options`` are checked."""
    extra, config = options.get("s3_additional_kwargs") or {}, options.get("config_kwargs") or {}
    unknown = [name for name, value in options.items() if name not in _BORROWED | _TRANSLATED and value is not None]
    unknown += [f"client_kwargs[{name!r}]" for name in options.get("client_kwargs") or {} if name not in _CLIENT]
    unknown += [f"config_kwargs[{name!r}]" for name in config if name not in _CONFIG]
    unknown += [f"config_kwargs['s3'][{name!r}]" for name in config.get("s3") or {} if name not in _CONFIG_S3]
    unknown += [f"s3_additional_kwargs[{name!r}]" for name in extra if name not in _ENCRYPTION]
    if extra and extra.get("ServerSideEncryption") not in _ALGORITHMS:
        unknown.append("s3_additional_kwargs without a ServerSideEncryption that it knows")
    return f"obstore cannot be told the storage options {', '.join(sorted(unknown))}" if unknown else None


@dataclass(frozen=True, slots=True)
class _Client:
    """What a client of s3fs is told by options, environment and profile together.

    Attributes:
        address: of an object named ``-``.
        region: for which requests are signed.
        s3: the section of the configuration that is S3's own.
        checksums: ``request_checksum_calculation``.
        signature: the version of it.
        unusual: the names of settings that are rarely made, and are here.
        connect_timeout: in seconds.
        read_timeout: in seconds.
        proxies: by scheme.
    """

    address: str
    region: str
    s3: Mapping[str, Any]
    checksums: str
    signature: str
    unusual: tuple[str, ...]
    connect_timeout: float
    read_timeout: float
    proxies: Mapping[str, str]

    @classmethod
    def named(cls, filesystem: Any, bucket: str, options: Mapping[str, Any]) -> Self | None:
        """Return it without making a client, which takes a tenth of a second, where the options name all that counts.

        That is an endpoint with the bucket in the path, a region, and credentials or none at all.
        """
        given, config = options.get("client_kwargs") or {}, options.get("config_kwargs") or {}
        endpoint, region = endpoint_of(options), given.get("region_name")
        has_keys = filesystem.anon or filesystem.key or given.get("aws_access_key_id")
        variable = filesystem.session.get_config_variable
        s3 = {**(variable("s3") or {}), **(config.get("s3") or {})}
        if not (endpoint and region and has_keys) or s3.get("addressing_style") not in {None, "auto", "path"}:
            return None
        return cls(
            address=f"{endpoint.rstrip('/')}/{bucket}/-",
            region=region,
            s3=s3,
            checksums=config.get("request_checksum_calculation") or variable("request_checksum_calculation"),
            signature=variable("signature_version") or "s3v4",
            unusual=tuple(name for name in _OF_SESSION if variable(name)),
            connect_timeout=config.get("connect_timeout", filesystem.connect_timeout),
            read_timeout=config.get("read_timeout", filesystem.read_timeout),
            proxies=proxies_for(filesystem.config_kwargs.get("proxies"), endpoint),
        )

    @classmethod
    def connected(cls, connection: S3Connection) -> Self:
        """Return it as the client has it."""
        meta = connection.client.meta
        return cls(
            address=connection.address_of("-"),
            region=meta.region_name or "us-east-1",
            s3=meta.config.s3 or {},
            checksums=meta.config.request_checksum_calculation,
            signature=str(meta.config.signature_version),
            unusual=tuple(name for name in _UNUSUAL if getattr(meta.config, name, None)),
            connect_timeout=meta.config.connect_timeout,
            read_timeout=meta.config.read_timeout,
            proxies=proxies_for(meta.config.proxies, meta.endpoint_url),
        )

    def unlike(self, filesystem: Any) -> str | None:
        """Return what obstore would do otherwise, or None."""
        found = [f"the setting {name} of the profile or environment" for name in self.unusual]
        found += [f"the setting s3.{name} of the profile" for name in self.s3 if name not in _CONFIG_S3]
        if self.checksums == "when_required":
            found.append("request_checksum_calculation = when_required")
        if self.signature not in {"s3v4", "v4"} and not filesystem.anon:
            found.append(f"the signature version {self.signature}")
        own_bundle = os.environ.get("REQUESTS_CA_BUNDLE") or filesystem.session.get_config_variable("ca_bundle")
        alone = read_by_obstore_alone(os.environ)
        if self.address.startswith("https"):
            found += ["a CA bundle of its own"] if own_bundle else []
            alone += certificates_of_obstore_alone(os.environ)
        if alone:
            found.append(f"to leave out what it reads by itself and s3fs does not: {', '.join(alone)}")
        return f"obstore cannot be told {', '.join(found)}" if found else None

    def settings(self, bucket: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the same in obstore's words; each is given, for what is not comes from the environment."""
        place = urlsplit(self.address)
        virtual = place.path == "/-"
        endpoint = f"{place.scheme}://{place.netloc}{'' if virtual else place.path.removesuffix(f'/{bucket}/-')}"
        settings: dict[str, Any] = {
            # As the s3fs client would go there, bucket in the host name or in the path.
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,  # else a variable of this name would go before
            "virtual_hosted_style_request": virtual,
            "region": self.region,
            "checksum_algorithm": "SHA256",
            "conditional_put": "etag",
            "unsigned_payload": False,  # its SHA-256 is computed for the checksum in any case
            "s3_express": False,
            "request_payer": bool(options.get("requester_pays")),
        }
        for name, value in (options.get("s3_additional_kwargs") or {}).items():
            settings[_ENCRYPTION[name]] = value
        return settings

    def http_options(self) -> dict[str, Any]:
        """Return what the HTTP client is told."""
        return {
            "allow_http": self.address.startswith("http://"),
            "connect_timeout": f"{self.connect_timeout} seconds",
            "read_timeout": f"{self.read_timeout} seconds",
            "timeout": "300 seconds",  # of a whole request, of 8 MiB at most; then the other engine makes it
            **proxy_options(self.proxies, self.address),
        }
