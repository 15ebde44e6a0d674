"""Large bodies, sent from threads: the event loop would copy each of them several times on its way to the socket.

A part of an upload is prepared, signed and answered like every other request of the s3fs client, with all of its
options; only its bytes take another way, through botocore's own HTTP session. That takes half of the time and of the
processor (see ``docs/measurements.md``).
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from metamlflow.backend.seeking import SeekableReader
from metamlflow.backend.threads import ThreadPool
from metamlflow_s3.resolving import proxies_for

_THREADS = 8
_MOST_ANSWERED_BYTES = 64 * 1024  # to a part: nothing, or an error document


class PartWire:
    """Sends the bodies of UploadPart requests of one client.

    Args:
        filesystem: of s3fs, connected.
        client: its client.
    """

    def __init__(self, filesystem: Any, client: Any) -> None:
        from botocore.httpsession import URLLib3Session

        config = client.meta.config
        verify = (filesystem.client_kwargs or {}).get("verify")
        if verify is None:
            verify = filesystem.session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True
        self._pool = ThreadPool(_THREADS, "metamlflow-wire")
        self._session = URLLib3Session(
            verify=verify,
            proxies=proxies_for(config.proxies, client.meta.endpoint_url),
            proxies_config=config.proxies_config,
            timeout=(config.connect_timeout, config.read_timeout),
            client_cert=config.client_cert,
            max_pool_connections=_THREADS,
            # Head and body go in two pieces: the second must not wait until the first was acknowledged.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        client.meta.events.register("before-sign.s3.UploadPart", _leave_unsigned, unique_id="metamlflow-unsigned")
        client.meta.events.register_last("before-send.s3.UploadPart", self._send, unique_id="metamlflow-part")

    async def _send(self, request: Any, **_: Any) -> Any:
        from aiobotocore.awsrequest import AioAWSResponse

        request.body = memoryview(request.body.getbuffer() if hasattr(request.body, "getbuffer") else request.body)
        # The upload was begun with the same credentials: there is nothing to ask leave for.
        request.headers.pop("Expect", None)
        answer, data = await asyncio.get_running_loop().run_in_executor(self._pool, self._exchange, request)
        return AioAWSResponse(answer.url, answer.status_code, answer.headers, _Body(data))

    def _exchange(self, request: Any) -> tuple[Any, bytes]:
        from botocore.exceptions import HTTPClientError
        from urllib3.exceptions import HTTPError

        request.stream_output = True  # else all of the answer would be taken in, and it may have no end
        answer = self._session.send(request)
        try:
            data = answer.raw.read(_MOST_ANSWERED_BYTES)
        except HTTPError as error:
            raise HTTPClientError(error=error) from error
        if len(data) == _MOST_ANSWERED_BYTES:
            answer.raw.close()  # what is left
        return answer, data


class _Body:
    """The body of an answer that has arrived, as the client wants to read it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> bytes:
        return self._data


class Borrowed(SeekableReader):
    """The bytes of a part as a file, without a copy; nothing is held on to, for the buffer is used again."""

    def __init__(self, data: memoryview) -> None:
        super().__init__(len(data))
        self._data = data

    def __len__(self) -> int:
        return self._size

    def getbuffer(self) -> memoryview:
        """Return the bytes."""
        return self._data

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, less only at the end."""
        chunk = self._data[self._position : self._position + len(buffer)]
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)


def _leave_unsigned(request: Any, **_: Any) -> None:
    """Leave the body out of the signature, as the client does by itself over TLS: a checksum of it is signed.

    Without TLS somebody on the way could alter bytes so that their CRC stays the same. That would be found: whoever
    reads the object compares its SHA-256, which stands in the manifest; and nobody on the way without TLS could be kept
    from altering that, signed bodies or not.
    """
    from botocore.config import Config

    if "x-amz-checksum-crc32c" not in request.headers:
        return
    config = request.context["client_config"]
    s3 = {**(config.s3 or {}), "payload_signing_enabled": False}
    request.context["client_config"] = config.merge(Config(s3=s3))
