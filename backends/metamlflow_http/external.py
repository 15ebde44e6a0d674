"""Objects of web servers: reads on condition of a strong ETag (RFC 9110, 13.1.1), and a look before and after each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from metamlflow.backend.external import Bounds, ObjectMeta, drift_error
from metamlflow.backend.fsspec_external import FsspecExternalStore
from metamlflow.backend.translation import web_failure, web_status
from metamlflow.errors import (
    InvalidInputError,
    MetaMLFlowError,
    PointerPolicyError,
    redact,
)

if find_spec("aiohttp") is None:  # imported when first used; but whoever opens an external store is told now
    raise ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp")

_PRECONDITION_FAILED, _BEYOND_END = 412, 416


def open_external(root: str, options: Mapping[str, Any]) -> HTTPExternalStore:
    """Open a web server, ``https://host``; ``options`` are those of fsspec's ``HTTPFileSystem``. No network."""
    if root.endswith("://"):
        raise InvalidInputError(f"{root!r} names no host", hint="Write it as https://host/path.")
    return HTTPExternalStore(root, options)


class _NoQueries(logging.Filter):
    """Takes queries out of what the client logs: a server may redirect to an address that is signed."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        hidden = redact(text)
        if hidden != text:
            record.msg, record.args = hidden, ()
        return True


_no_queries = _NoQueries()


class HTTPExternalStore(FsspecExternalStore):
    """A web server as an external store; every promise is in :class:`metamlflow.backend.external.ExternalStore`."""

    def __init__(self, root: str, options: Mapping[str, Any]) -> None:
        super().__init__(root, options)
        self._bounds: Bounds | None = None
        logging.getLogger("fsspec.http").addFilter(_no_queries)  # a second time changes nothing

    def __getstate__(self) -> Any:
        return super().__getstate__(), self._bounds

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state[0])
        self._bounds = state[1]

    def bound(self, bounds: Bounds) -> None:
        """Keep within these bounds. Without any, nothing is opened."""
        self._bounds = bounds

    def filesystem_options(self) -> dict[str, Any]:
        """Return the options with a client that keeps within the bounds."""
        from metamlflow_http.sessions import BoundedClient

        if self._bounds is None:
            raise PointerPolicyError(
                f"{redact(self._root)} is not opened without bounds", hint="Give them: lake.bound(bounds)."
            )
        return {**self.options, "get_client": BoundedClient(self._bounds, self.options.get("get_client"))}

    @contextmanager
    def translated(self, name: str) -> Iterator[None]:
        """Turn the client's errors into ours, without them: they show addresses to which a server redirected."""
        try:
            with super().translated(name):
                yield
        except MetaMLFlowError as error:
            raise error from None

    def range_of(self, seen: ObjectMeta, start: int, end: int) -> bytes:
        """Ask for a range, on condition of the ETag where it is one that stands for the very bytes."""
        headers = {**self.options.get("headers", {}), "Accept-Encoding": "identity"}  # these replace the client's own
        if seen.etag and not seen.etag.startswith("W/"):
            headers["If-Match"] = seen.etag
        path = self._path(seen.name)
        try:
            data = bytes(self.filesystem.cat_file(path, start=start, end=min(end, seen.size), headers=headers))
        except Exception as error:  # of a client that is imported when first used; only the status counts
            if web_status(error) in {_PRECONDITION_FAILED, _BEYOND_END}:
                raise drift_error(self.url_of(seen.name), seen, self.head(seen.name)) from None
            raise
        # A server that ignores ranges: of a longer object there is more, of one that ends here there must not be.
        return data[: end - start] if end < seen.size else data

    def own_error(self, name: str, error: Exception) -> MetaMLFlowError | None:
        """Return our error for what a web server answered."""
        where = redact(self.url_of(name))
        if isinstance(error.__cause__, MetaMLFlowError):  # of a hop, which fsspec takes for a file that is not there
            return error.__cause__
        return web_failure(error, where) or super().own_error(name, error)
