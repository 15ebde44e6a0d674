"""HTTP/1.1 framing: as little of it as a proxy needs that passes on what it reads untouched."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

BLOCK = 256 * 1024  # bytes read at a time, and so all that is held of a body
_LONGEST_HEAD = 128 * 1024
_NO_BODY = {204, 304}


class CutShortError(OSError):
    """The other side ended the connection in the middle of a message."""


@dataclass(frozen=True)
class Head:
    """A message's first line and header lines, kept as the bytes they came as."""

    start: bytes
    lines: tuple[bytes, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Head:
        start, *lines = raw.split(b"\r\n")
        return cls(start, tuple(line for line in lines if line))

    @property
    def method(self) -> str:
        return self.start.split(b" ")[0].decode("latin-1")

    @property
    def target(self) -> str:
        return self.start.split(b" ")[1].decode("latin-1")

    @property
    def status(self) -> int:
        return int(self.start.split(b" ")[1])

    @property
    def keeps_alive(self) -> bool:
        """Whether the sender may use the connection for another message."""
        default = "close" if b"HTTP/1.0" in self.start else "keep-alive"
        return self.get("connection", default).lower() != "close"

    def get(self, name: str, default: str = "") -> str:
        values = [value for key, value in self.items() if key == name.lower()]
        return values[-1] if values else default

    def items(self) -> Iterator[tuple[str, str]]:
        """The headers, their names in lower case."""
        for line in self.lines:
            name, _, value = line.decode("latin-1").partition(":")
            yield name.strip().lower(), value.strip()

    def without(self, *names: str) -> Head:
        kept = [line for line, (name, _) in zip(self.lines, self.items(), strict=True) if name not in names]
        return replace(self, lines=tuple(kept))

    def having(self, name: str, value: str) -> Head:
        """The head with this header, in place of any that it has of that name."""
        return replace(self, lines=(*self.without(name.lower()).lines, f"{name}: {value}".encode("latin-1")))

    def encode(self) -> bytes:
        return b"\r\n".join([self.start, *self.lines, b"", b""])


class Framing(NamedTuple):
    """How a body's end is found: by its length, by its chunks, or (neither) by the end of the connection."""

    length: int | None
    chunked: bool = False

    @property
    def delimited(self) -> bool:
        return self.chunked or self.length is not None


class Block(NamedTuple):
    """Bytes of a body as they were sent; what frames the chunks is no payload."""

    data: bytes
    payload: bool = True


class Wire:
    """One connection, read through a buffer."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def head(self) -> Head | None:
        """Read the next message's head; None if the other side has ended the connection in good order."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            data = self._socket.recv(65536)
            if not data and self._buffer:
                raise CutShortError("the connection ended in a message's head")
            if not data:
                return None
            self._buffer = (self._buffer + data).lstrip(b"\r\n")
            if len(self._buffer) > _LONGEST_HEAD and b"\r\n\r\n" not in self._buffer:
                raise CutShortError("a message's head has no end")
        raw, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return Head.parse(raw)

    def read(self, limit: int) -> bytes:
        """At most ``limit`` bytes, at least one; none at the connection's end."""
        if self._buffer:
            data, self._buffer = self._buffer[:limit], self._buffer[limit:]
            return data
        return self._socket.recv(min(limit, BLOCK))

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, which stay to be read; fewer at the connection's end."""
        while len(self._buffer) < size and (data := self._socket.recv(BLOCK)):
            self._buffer += data
        return self._buffer[:size]

    def line(self) -> bytes:
        """The next line, its end included."""
        while (end := self._buffer.find(b"\n")) < 0:
            data = self._socket.recv(BLOCK)
            if not data:
                raise CutShortError("the connection ended between chunks")
            self._buffer += data
        line, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
        return line

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def readable(self, seconds: float = 0) -> bool:
        """Whether bytes, or the connection's end, can be read within this time."""
        if self._buffer:
            return True
        poll = select.poll()  # select() would refuse descriptors above 1,023
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """End the connection in good order: what was sent still arrives."""
        self._socket.close()

    def interrupt(self) -> None:
        """Wake the thread that reads here: it finds the connection's end."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is closed already

    def reset(self) -> None:
        """Break the connection: the other side gets ECONNRESET."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def request_framing(head: Head) -> Framing:
    """How a request's body ends; one that announces none has none."""
    return _framing(head) or Framing(0)


def reply_framing(head: Head, method: str) -> Framing:
    """How the body of the reply to a request with this method ends."""
    if method == "HEAD" or head.status in _NO_BODY:
        return Framing(0)
    return _framing(head) or Framing(None)


def _framing(head: Head) -> Framing | None:
    if "chunked" in head.get("transfer-encoding").lower():
        return Framing(None, chunked=True)
    length = head.get("content-length")
    return Framing(int(length)) if length else None


def blocks(wire: Wire, framing: Framing) -> Iterator[Block]:
    """Read a body to its end, as it comes, the framing of its chunks included.

    Raises:
        CutShortError: the connection ended before the body did.
    """
    if framing.chunked:
        yield from _chunks(wire)
    elif framing.length is None:
        while data := wire.read(BLOCK):
            yield Block(data)
    else:
        yield from _payload(wire, framing.length)


def _chunks(wire: Wire) -> Iterator[Block]:
    while True:
        line = wire.line()
        yield Block(line, payload=False)
        size = int(line.partition(b";")[0], 16)
        if not size:
            break
        yield from _payload(wire, size)
        yield Block(wire.line(), payload=False)
    while (line := wire.line()).strip():  # the trailers, where there are any
        yield Block(line, payload=False)
    yield Block(line, payload=False)


def _payload(wire: Wire, size: int) -> Iterator[Block]:
    while size:
        data = wire.read(size)
        if not data:
            raise CutShortError(f"the connection ended {size} bytes before the body")
        size -= len(data)
        yield Block(data)


def first_half(body: Iterable[Block], framing: Framing) -> Iterator[Block]:
    """The body up to its middle; of one whose length is not known, up to the middle of its first block."""
    left = None if framing.length is None else framing.length // 2
    for block in body:
        if not block.payload:
            yield block
            continue
        left = len(block.data) // 2 if left is None else left
        yield Block(block.data[:left])
        left -= min(left, len(block.data))
        if not left:
            return


def altered(body: Iterable[Block], offset: int) -> Iterator[Block]:
    """The body with one bit of its payload's byte ``offset`` turned over."""
    for block in body:
        if block.payload and 0 <= offset < len(block.data):
            changed = bytearray(block.data)
            changed[offset] ^= 1
            yield Block(bytes(changed))
        else:
            yield block
        offset -= len(block.data) if block.payload else 0


def altered_below_first_line(body: Iterable[Block], offset: int) -> Iterator[Block]:
    """As ``altered``, counted from the end of the payload's first line: in aws-chunked content that is a frame."""
    left = iter(body)
    for block in left:
        if block.payload:
            yield from altered(chain([block], left), block.data.find(b"\n") + 1 + offset)
            return
        yield block
