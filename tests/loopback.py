"""HTTP servers on the loopback that live as long as a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # else connections that come at once are let in a second later


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    """Run a server; gives its address."""
    with server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> AbstractContextManager[str]:
    """Run a server that makes a handler for each connection."""
    return running(Server(("127.0.0.1", 0), handler))
