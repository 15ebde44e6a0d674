"""Tables from the errors of a client to ours: a row says which error it is, what happened, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from metamlflow.backend.translation import causes_of, row_of
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    redact,
)

ErrorRow = tuple[type[MetaMLFlowError], str, str | None]
"""The class, what happened, and what to do about it."""

_LATER = "Nothing was lost. Try again; if it stays, lower the load, or look whether the server is well."
_NETWORK = "Check the network, the address and the proxy settings; nothing was lost."
_THROTTLED, _LARGEST, _SERVER_ERROR = 429, 599, 500
_MOST_SAID = 300  # characters

HTTP_ROWS: Mapping[int, ErrorRow] = {
    401: (AccessDeniedError, "the credentials are not valid or have expired", "Check them, or log in again."),
    403: (AccessDeniedError, "access is denied", "Ask for the right to do this."),
    404: (ObjectNotFoundError, "there is no such object", None),
    408: (StorageUnavailableError, "the request took too long", _LATER),
    409: (StorageUnavailableError, "another operation is under way", _LATER),
    410: (ObjectNotFoundError, "there is no such object", None),
    412: (AlreadyExistsError, "the key exists already", None),
    _THROTTLED: (StorageUnavailableError, "the server throttles requests", _LATER),
    507: (StorageFullError, "no space is left on the server", "Free some space and try again; nothing was lost."),
}
"""What the statuses of HTTP mean on an object store (RFC 9110)."""

CONNECTION_ROWS: Mapping[str, ErrorRow] = {
    "SSLError": (StorageUnavailableError, "the server cannot be trusted or speaks no TLS", _NETWORK),
    "TimeoutError": (StorageUnavailableError, "the server did not answer in time", _NETWORK),
    "ConnectionError": (StorageUnavailableError, "the connection broke", _NETWORK),
    "HTTPException": (StorageUnavailableError, "the answer broke off", _NETWORK),
    "URLError": (StorageUnavailableError, "the server cannot be reached", _NETWORK),
}
"""What goes wrong on the way to a server, by the classes of Python's own clients."""


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """Returns our error for one of a client, or for what caused it; None for what is nothing of the storage's.

    Attributes:
        by_status: by the status of HTTP that the error carries. Others from 500 on are failures that may pass, and
            others from 400 on refusals.
        by_class: by the name of its class or of the nearest class above it: so no client has to be imported.
    """

    by_status: Mapping[int, ErrorRow] = field(default_factory=lambda: HTTP_ROWS)
    by_class: Mapping[str, ErrorRow] = field(default_factory=lambda: CONNECTION_ROWS)

    def __call__(self, error: Exception) -> MetaMLFlowError | None:
        """Return our error, without a place."""
        causes = causes_of(error, implied=True)
        for cause in causes:
            if status := status_in(cause):
                facts = {"throttled": True} if status == _THROTTLED else {}
                return said_by_server(self._row(status), f"{status} {shown(cause)}", **facts)
        for cause in causes:
            if (row := row_of(cause, self.by_class)) is not None:
                return said_by_client(row, shown(cause))
        return None

    def _row(self, status: int) -> ErrorRow:
        if status in self.by_status:
            return self.by_status[status]
        if status >= _SERVER_ERROR:
            return StorageUnavailableError, "the server failed", _LATER
        return StorageError, "the server refused the request", "See what the server said."


def said_by_server(row: ErrorRow, said: str, **facts: object) -> MetaMLFlowError:
    """Return the error of a row for what a server answered; ``said`` shows no secret."""
    return row[0](f"{row[1]} (the server said {said})", hint=row[2], **facts)


def said_by_client(row: ErrorRow, said: str, *, hint: str | None = None) -> MetaMLFlowError:
    """Return the error of a row for what a client met on its way to the server; ``hint`` in place of the row's own."""
    return row[0](f"{row[1]}: {said}", hint=hint or row[2])


def status_in(error: BaseException) -> int:
    """Return the status of HTTP that an error of a client carries; 0 if there is none."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status", "status_code", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= _LARGEST:  # noqa: PLR2004
                return value
    return 0


def shown(error: BaseException) -> str:
    """Return what an error says, in one line and without a secret; its class if it says nothing."""
    text = redact(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}…"
