"""Requests to one bucket, through an s3fs file system that is made when it is first needed and anew in each process."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import re
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from metamlflow.backend.patience import Patience
from metamlflow.backend.per_process import PerProcess
from metamlflow.backend.threads import keep_resolving
from metamlflow.errors import InvalidInputError, StorageUnavailableError
from metamlflow_s3.error_table import s3_error, status_of
from metamlflow_s3.log_redaction import hide_in_logs
from metamlflow_s3.options import endpoint_of, secrets_of
from metamlflow_s3.part_sender import PartWire
from metamlflow_s3.resolving import proxies_for

PATIENCE = Patience(attempts=4, seconds=2.0, first_pause=0.15)
"""With a request that fails and may pass; the store above goes on trying."""
_POOL = 64  # connections; more than files that are moved at a time
_PIECE_BYTES = 1024 * 1024
_SENT_AT_ONCE_BYTES = 1024 * 1024
_RESERVED_BYTES = 16 * 1024 * 1024  # ahead of the bytes, whatever the server announces
_GONE = 404
_LISTED_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3}([0-9]{3})?)?Z")
_REFUSALS = frozenset({409, 429, 503})

_log = logging.getLogger(f"metamlflow.backends.{__name__}")
T = TypeVar("T")
Keys = tuple[str, str, str | None]
"""Access key, secret key, session token."""


@dataclass(slots=True)
class _Connected:
    """What a process has of a connection.

    Attributes:
        filesystem: of s3fs, for the requests.
        client: its client, once it is connected.
        answered: whether a request was answered with success, so that the bucket is there.
    """

    filesystem: Any
    client: Any = None
    answered: bool = False


class S3Connection:
    """The file system, and requests in its words and with all of its options. Thread-safe.

    Args:
        bucket: what all requests are about.
        options: of ``s3fs.S3FileSystem``, checked.
    """

    def __init__(self, bucket: str, options: Mapping[str, Any]) -> None:
        self._bucket = bucket
        self._options = dict(options)
        hide_in_logs(secrets_of(options))
        self._handed = PerProcess(lambda: self._make(self._options))
        self._connected = PerProcess(lambda: _Connected(self._make_own()))

    @property
    def filesystem(self) -> Any:
        """A file system to hand on, with its users' own patience and block sizes; only its listings cache is off."""
        return self._handed.get()

    @property
    def loop(self) -> Any:
        """The event loop of the requests."""
        return self.own_filesystem.loop

    @property
    def own_filesystem(self) -> Any:
        """The file system of the requests: as the other, but that it repeats nothing."""
        return self._connected.get().filesystem

    @property
    def client(self) -> Any:
        """The client of the requests, connected."""
        return self._connected.get().client or self._run(self._connect)

    @property
    def checksums(self) -> bool:
        """Whether the server is to be given SHA-256 and CRC32C: unless options, environment or profile relax it."""
        return bool(self.client.meta.config.request_checksum_calculation != "when_required")

    def address_of(self, key: str) -> str:
        """Return the address of an object, as the client would ask for it. No request is made."""

        async def address(filesystem: Any) -> str:
            client = await self._connect(filesystem)
            signed: str = await client.generate_presigned_url("get_object", {"Bucket": self._bucket, "Key": key})
            return signed.partition("?")[0]

        return self._run(address)

    def credentials(self) -> tuple[Callable[[], Keys] | None, bool]:
        """Return what gives the client's credentials as they are now (None: there are none), and whether they expire.

        They may be fetched from where the session finds them; no request is made to S3.
        """
        filesystem = self.own_filesystem
        given = filesystem.client_kwargs or {}
        if key := filesystem.key or given.get("aws_access_key_id"):
            secret = filesystem.secret or given.get("aws_secret_access_key") or ""
            token = filesystem.token or given.get("aws_session_token")
            return lambda: (key, secret, token), False
        found = self._run(_session_credentials)
        if found is None:
            return None, False
        return lambda: self._run(_frozen, found), hasattr(found, "refresh_needed")

    def call(self, method: str, *, once: bool = False, **arguments: Any) -> Any:
        """Make one request; return the answer, its body unread.

        Args:
            method: of the client, such as ``head_object``.
            once: whether to repeat it only after the server said that it refused it. Else it is repeated as well after
                failures that say nothing about whether it was applied. (aiohttp repeats a PUT whose connection broke
                once in any case: so also a request of this kind may find what it has made itself.)
            arguments: of the request, over those of ``s3_additional_kwargs``.
        """
        answer = self._repeated(lambda: self._run(self._send, method, arguments), once=once)
        self._connected.get().answered = True
        return answer

    def call_once(self, method: str, **arguments: Any) -> Any:
        """As :meth:`call`, and never again, whatever the failure says: for deletions, which may land late."""
        answer = self._run(self._send, method, arguments)
        self._connected.get().answered = True
        return answer

    def bucket_is_missing(self) -> bool:
        """Whether a look at a missing object, which says no more than that, was at a missing bucket; asked once."""
        if self._connected.get().answered:
            return False
        try:
            self.call("head_bucket")
        except Exception as error:  # raised again, unless S3 answered it
            if s3_error(error) is None:
                raise
            return status_of(error) == _GONE
        return False

    @property
    def asks_for_checksums(self) -> dict[str, Any]:
        """What asks a server for the checksums that it holds, unless they are relaxed: some servers know none."""
        return {"ChecksumMode": "ENABLED"} if self.checksums else {}

    def fetch(
        self, start: int = 0, end: int | None = None, *, checked: bool = False, **arguments: Any
    ) -> tuple[Any, bytearray]:
        """Get an object; return the answer and the bytes from ``start`` to before ``end``.

        No more than these are held, whatever the server sends, all of the object among it.

        Args:
            start: the first byte.
            end: after the last one.
            checked: whether to compare it with the checksum that the server holds, for who knows no digest of it. Not
                of a range: servers tell the checksum of all of it then, or none.
            arguments: of the request.
        """
        asked = self.asks_for_checksums if checked and "Range" not in arguments else {}
        return self._repeated(lambda: self._run(self._fetch, start, end, {**asked, **arguments}), once=False)

    # --- how ----------------------------------------------------------------------------------------------------------

    def _make(self, options: Mapping[str, Any]) -> Any:
        from s3fs import S3FileSystem

        # Never a cached instance: one that another thread closed, or that came through a fork, would hang.
        settings = {**options, "use_listings_cache": False, "skip_instance_cache": True}
        try:
            return S3FileSystem(**settings)
        except (TypeError, ValueError, KeyError) as error:
            raise InvalidInputError(f"s3fs does not take these storage options: {error}") from error

    def _make_own(self) -> Any:
        from metamlflow_s3.guarding import GuardedSession

        config = {
            "http_session_cls": GuardedSession,
            "max_pool_connections": _POOL,
            # Requests are repeated here. Twice would turn a storm into minutes of silence, and hide who lost a race.
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            # What is read is compared with its SHA-256 above; records ask for it (see fetch).
            "response_checksum_validation": "when_required",
            **(self._options.get("config_kwargs") or {}),
        }
        if (endpoint := endpoint_of(self._options)) and config.get("proxies") is None:
            config["proxies"] = proxies_for(None, endpoint)  # now, for all clients
        filesystem = self._make({**self._options, "config_kwargs": config})
        filesystem.retries = 1  # the same once more, in s3fs
        if filesystem.session is None:
            filesystem.session = _session(filesystem.kwargs)
        return filesystem

    def _run(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        from fsspec.asyn import sync

        filesystem = self.own_filesystem
        keep_resolving(filesystem.loop)
        done: T = sync(filesystem.loop, work, filesystem, *args)
        return done

    async def _connect(self, filesystem: Any) -> Any:
        try:
            client = await filesystem.set_session()
        except (TypeError, ValueError) as error:
            if s3_error(error):
                raise
            raise InvalidInputError(
                f"the client of S3 does not take these storage options: {error}",
                hint="See client_kwargs and config_kwargs in docs/s3.md.",
            ) from error
        connected = self._connected.get()
        if client is connected.client:
            return client
        # Servers from before 2025 know no other checksum of this request, and refuse it without one.
        client.meta.events.register_first("before-call.s3.DeleteObjects", _add_md5, unique_id="metamlflow-md5")
        client.meta.events.register_last("before-call.s3", _spare_a_round_trip, unique_id="metamlflow-expect")
        client.meta.events.register_last("before-call.s3.GetObject", _compare_no_part, unique_id="metamlflow-range")
        PartWire(filesystem, client)
        connected.client = client
        return client

    async def _send(self, filesystem: Any, method: str, arguments: Mapping[str, Any]) -> Any:
        await self._connect(filesystem)
        _log.debug("%s s3://%s/%s", method, self._bucket, arguments.get("Key", arguments.get("Prefix", "")))
        try:
            return await filesystem._call_s3(method, Bucket=self._bucket, **arguments)  # noqa: SLF001 (fsspec's way to say "async")
        except (ValueError, KeyError) as error:
            if s3_error(error):
                raise
            # A field of a listing that was damaged on its way, such as a date; a name that is missing.
            raise StorageUnavailableError(
                f"the answer to {method} cannot be read: {error}", hint="Try again."
            ) from error

    async def _fetch(
        self, filesystem: Any, start: int, end: int | None, arguments: Mapping[str, Any]
    ) -> tuple[Any, bytearray]:
        answer = await self._send(filesystem, "get_object", arguments)
        async with answer["Body"] as body:  # closed also if it breaks off
            # Not read(), which holds the pieces and their join at once: of large ranges that is the most there is.
            most = sys.maxsize if end is None else end - start
            # Without Content-Range it is the whole object: something on the way has ignored the range.
            before = 0 if "ContentRange" in answer else start
            data, filled = bytearray(min(answer.get("ContentLength", 0), most, _RESERVED_BYTES)), 0
            while filled <= most and (piece := await body.read(_PIECE_BYTES)):
                passed = min(before, len(piece))
                before -= passed
                data[filled : filled + len(piece) - passed] = piece[passed:] if passed else piece
                filled += len(piece) - passed
            if filled > most:
                body.close()  # what is left may have no end
            del data[min(filled, most) :]
            return answer, data

    def _repeated(self, call: Callable[[], T], *, once: bool) -> T:
        def passes(error: Exception) -> bool:
            """Return whether the request may be made again after this error."""
            failure, status = s3_error(error), status_of(error)
            if not isinstance(failure, StorageUnavailableError):
                return False
            _log.debug("may pass: %s", failure.message)
            # An upload that is gone (404) stays gone: it is begun anew, higher up.
            return status in _REFUSALS if once else status != _GONE

        return PATIENCE.call(call, passes)


def _session(arguments: Mapping[str, Any]) -> Any:
    """Return a session as s3fs would make it, but that reads the description of S3 once a process (50 ms).

    And that reads the times of a listing quickly.
    """
    from aiobotocore.session import AioSession

    session = AioSession(**arguments)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=time_of)
    return session


def time_of(told: Any) -> Any:
    """Read a time of an answer. As botocore does; but for that of a listing, it takes three quarters of a listing."""
    if isinstance(told, str) and _LISTED_TIME.fullmatch(told):
        try:
            return datetime.fromisoformat(told)
        except ValueError:
            pass  # there is no such day
    from botocore.utils import parse_timestamp

    return parse_timestamp(told)


@cache
def _loader(path: str | None) -> Any:
    from botocore.loaders import create_loader

    return create_loader(path)


async def _session_credentials(filesystem: Any) -> Any:
    await filesystem.set_session()
    return await filesystem.session.get_credentials()


async def _frozen(_: Any, credentials: Any) -> Keys:
    now = await credentials.get_frozen_credentials()  # renewed before they expire
    return now.access_key, now.secret_key, now.token


def _spare_a_round_trip(params: dict[str, Any], **_: Any) -> None:
    """Send small bodies at once: the client asks for leave before each body (``Expect: 100-continue``), and waits."""
    body = params.get("body")
    if isinstance(body, io.BytesIO) and body.getbuffer().nbytes <= _SENT_AT_ONCE_BYTES:
        params["headers"].pop("Expect", None)


def _compare_no_part(params: dict[str, Any], **_: Any) -> None:
    """Compare no range with a checksum, whoever asked for it: some servers send that of the whole object."""
    if "Range" in params["headers"]:
        params.get("context", {}).get("checksum", {}).pop("response_algorithms", None)


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"].setdefault("Content-MD5", base64.b64encode(digest).decode())
