"""What the fault proxy can do to a request, and the rules that say to which.

Errors are shaped as the providers document them: S3 answers XML, the JSON API of Google Cloud Storage JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal
from xml.sax.saxutils import escape

from proxy_operations import Operation

Place = Literal["start", "headers", "body", "before_reply", "reply"]


@dataclass(frozen=True)
class LoseReply:
    """The request is applied; its reply is read to the end, then the client's connection is reset."""


@dataclass(frozen=True)
class Refuse:
    """The request is not forwarded; it is answered with a provider's error, or with ``body`` as it stands."""

    status: int
    code: str = ""
    message: str = ""
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def content(self, operation: Operation) -> tuple[str, bytes]:
        """The content type and body of the answer."""
        if self.body is not None:
            return "application/octet-stream", self.body
        message = self.message or f"{self.code} (from the fault proxy)"
        if operation.dialect == "gcs":
            reason = {"domain": "global", "reason": _GCS_REASONS.get(self.code, self.code), "message": message}
            document = {"error": {"code": self.status, "message": message, "errors": [reason]}}
            return "application/json; charset=UTF-8", json.dumps(document).encode()
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{escape(self.code)}</Code><Message>{escape(message)}</Message>"
            f"<Key>{escape(operation.key)}</Key><RequestId>0</RequestId><HostId>fault-proxy</HostId></Error>"
        )
        return "application/xml", text.encode()


_GCS_REASONS = {"SlowDown": "rateLimitExceeded", "InternalError": "backendError", "AccessDenied": "forbidden"}

SLOW_DOWN = Refuse(503, "SlowDown", "Please reduce your request rate.")
INTERNAL_ERROR = Refuse(500, "InternalError", "We encountered an internal error. Please try again.")
ACCESS_DENIED = Refuse(403, "AccessDenied", "Access Denied")
CONFLICT = Refuse(409, "ConditionalRequestConflict", "A conflicting conditional operation is in progress.")


@dataclass(frozen=True)
class Late:
    """The request is answered at once, by ``answer`` or (None) a reset, and applied ``seconds`` after that."""

    seconds: float
    answer: Refuse | None = SLOW_DOWN


@dataclass(frozen=True)
class StripConditions:
    """The request arrives without its conditions: a store that does not know them."""


@dataclass(frozen=True)
class Reset:
    """Both connections break.

    ``start``: nothing is forwarded. ``headers``: after the request's head. ``body``: in the middle of its body.
    ``before_reply``: after all of it; whether the server applies it is open. The next request of the same object
    reaches the server when it is done with this one: S3 takes one after the other, and emulators break where two meet.
    ``reply``: in the middle of the reply.
    """

    at: Place


@dataclass(frozen=True)
class TruncateReply:
    """Half of the reply's body arrives under the full Content-Length, then the connection ends in good order."""


@dataclass(frozen=True)
class AlterReply:
    """One bit of the reply's body differs: in its byte ``at``, or in the middle."""

    at: int | None = None


@dataclass(frozen=True)
class AlterRequest:
    """One bit of the request's content differs: in its byte ``at``, or in the middle.

    Where content is framed inside the body (aws-chunked, multipart/related, chunked) ``at`` counts from where the
    content begins, and its first byte stands for the middle.
    """

    at: int | None = None


@dataclass(frozen=True)
class Delay:
    """The request is held for so many seconds before it is forwarded."""

    seconds: float


@dataclass(frozen=True)
class SkewDate:
    """The reply's Date is so many seconds later than the server said, or earlier."""

    seconds: float


@dataclass(frozen=True)
class LimitWrites:
    """Of each object one write in ``seconds`` is let through, as on GCS; the others are refused with 429.

    What is refused does not count. A write that the server then refuses (412) does.
    """

    seconds: float = 1.0


TOO_MANY_WRITES = Refuse(
    429, "rateLimitExceeded", "The object exceeded the rate limit for object mutation operations (create, update, and "
    "delete). Please reduce your request rate.",
)  # fmt: skip
_WRITES = ("objects.insert", "objects.delete", "resumable.start", "objects.rewrite", "PutObject", "DeleteObject")

Fault = (
    LoseReply
    | Refuse
    | Late
    | StripConditions
    | Reset
    | TruncateReply
    | AlterReply
    | AlterRequest
    | Delay
    | SkewDate
    | LimitWrites
)


@dataclass(frozen=True)
class Request:
    """What the proxy saw of one request.

    ``status`` is what the client was told, ``upstream_status`` what the server said; None where nothing was.
    ``headers`` holds what is the clouds' own, conditions, ranges and who asks, so that a long log stays small.
    """

    number: int
    method: str
    target: str
    operation: Operation
    headers: dict[str, str] = field(repr=False)
    faults: tuple[Fault, ...] = ()
    status: int | None = None
    upstream_status: int | None = None

    @property
    def op(self) -> str:
        return self.operation.name

    @property
    def key(self) -> str:
        return self.operation.key

    @property
    def is_write(self) -> bool:
        """Whether a limit on writes counts it."""
        return self.op in _WRITES


@dataclass(frozen=True)
class Rule:
    """Which requests a fault strikes: of those that match, the ``nth`` and then ``times`` in all (None: for ever).

    ``op`` and ``key`` are globs (``*`` also spans ``/``); ``when`` decides where those say too little. Counting begins
    when the rule is added. Rules that strike one request together all act, as far as they do not exclude one another.
    """

    fault: Fault
    op: str = "*"
    key: str = "*"
    nth: int = 1
    times: int | None = 1
    when: Callable[[Request], bool] | None = None

    def matches(self, request: Request) -> bool:
        return (
            fnmatchcase(request.op, self.op)
            and fnmatchcase(request.key, self.key)
            and (self.when is None or self.when(request))
        )

    def strikes(self, count: int) -> bool:
        """Whether the match with this number, counted from 1, is struck."""
        return count >= self.nth and (self.times is None or count < self.nth + self.times)
