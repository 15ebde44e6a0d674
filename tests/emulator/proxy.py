"""A small HTTP proxy before a test server, which counts requests and makes those fail that a rule names.

Bytes, headers and ``Host`` pass through untouched, so that signatures stay valid; bodies are streamed. The proxy runs
in threads of this process::

    with FaultProxy(server.url) as proxy:
        proxy.add(Rule(LoseReply(), op="PutObject", key="*_versions/*"))
        ...                                   # a client of proxy.url
        assert proxy.counts["PutObject"] == 2
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Self
from urllib.parse import urlsplit

from proxy_exchange import Connection, Exchange
from proxy_faults import TOO_MANY_WRITES, Fault, LimitWrites, Request, Rule
from proxy_operations import classify
from proxy_wire import Head, Wire

UPSTREAM_SECONDS = 60
_KEPT_HEADERS = ("if-", "x-goog-if-", "x-goog-hash", "x-amz-", "range", "content-length", "authorization", "user-agent")


class FaultProxy:
    """A proxy on a free port of 127.0.0.1 before the server at ``upstream``; a context manager.

    A request is counted once, when its head has arrived and before the client hears anything; requests that a library
    repeats by itself count like any other.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.rstrip("/")
        self._address = (urlsplit(upstream).hostname or "", urlsplit(upstream).port or 80)
        self._lock = threading.Lock()
        self._log: dict[int, Request] = {}
        self._arrived = 0
        self._rules: list[tuple[Rule, Counter[str]]] = []
        self._let_through: dict[str, float] = {}  # when a write of each object was last let through
        self._wires: set[Wire] = set()
        self._late: list[threading.Thread] = []
        self._at_work: dict[str, threading.Event] = {}  # the server, on a request whose client has gone, by object
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._name = f"fault-proxy {self.url}"
        self._closed = False
        threading.Thread(target=self._accept, name=self._name, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- for tests ----------------------------------------------------------------------------------------------------

    def add(self, *rules: Rule) -> None:
        """Add rules; each counts the requests it matches from now on."""
        with self._lock:
            self._rules += [(rule, Counter()) for rule in rules]

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules = []

    def reset(self) -> None:
        """Forget what was counted and logged; the rules stay."""
        with self._lock:
            self._log = {}

    @property
    def log(self) -> list[Request]:
        """All requests since the start or the last reset, in the order of their arrival."""
        with self._lock:
            return list(self._log.values())

    @property
    def counts(self) -> Counter[str]:
        """Requests by operation."""
        return Counter(request.op for request in self.log)

    @property
    def methods(self) -> Counter[str]:
        """Requests by HTTP method."""
        return Counter(request.method for request in self.log)

    def settle(self) -> None:
        """Return when every late request has been applied."""
        with self._lock:
            late, self._late = self._late, []
        for thread in late:
            thread.join()

    def close(self) -> None:
        """Apply what is late, then end all connections and stop listening."""
        self.settle()
        with self._lock:
            self._closed = True
            wires = list(self._wires)
        # close() alone leaves the accepting thread asleep, and the port taken.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for wire in wires:
            wire.interrupt()

    # --- for exchanges ------------------------------------------------------------------------------------------------

    def book(self, head: Head, body: bytes) -> Request:
        """Count and log a request, and decide which faults strike it."""
        headers = dict(head.items())
        operation = classify(head.method, head.target, copies="x-amz-copy-source" in headers, body=body)
        kept = {name: value for name, value in headers.items() if name.startswith(_KEPT_HEADERS)}
        with self._lock:
            self._arrived += 1
            request = Request(self._arrived, head.method, head.target, operation, kept)
            request = replace(request, faults=self._faults(request))
            self._log[request.number] = request
        return request

    def note(self, request: Request, **statuses: int) -> None:
        """Write a status into the log, unless the log was reset in between."""
        with self._lock:
            if request.number in self._log:
                self._log[request.number] = replace(self._log[request.number], **statuses)

    def connect(self) -> Wire:
        """Open a connection to the server."""
        return Wire(socket.create_connection(self._address, timeout=UPSTREAM_SECONDS))

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Do this after a while; ``settle`` waits for it."""

        def wait() -> None:
            time.sleep(seconds)
            work()

        thread = threading.Thread(target=wait, name=self._name, daemon=True)
        with self._lock:
            thread.start()  # inside, or settle() could take it before it can be joined
            self._late.append(thread)

    def leave_at_work(self, place: str, finish: Callable[[], None]) -> None:
        """Let the server end a request whose client has gone; what comes for the same object waits for that."""
        done = self._at_work[place] = threading.Event()

        def work() -> None:
            finish()
            done.set()

        self.later(0, work)

    def await_turn(self, place: str) -> None:
        """Return when the server is no longer at work on a request for the object whose client has gone."""
        if place in self._at_work:
            self._at_work[place].wait(UPSTREAM_SECONDS)

    def _faults(self, request: Request) -> tuple[Fault, ...]:
        struck = []
        for rule, matched in self._rules:
            if rule.matches(request):
                matched["matches"] += 1
                if rule.strikes(matched["matches"]):
                    struck.append(rule.fault)
        struck = [self._limited(fault, request) if isinstance(fault, LimitWrites) else fault for fault in struck]
        return tuple(fault for fault in struck if fault is not None)

    def _limited(self, limit: LimitWrites, request: Request) -> Fault | None:
        """Return the refusal of a write that comes too soon after the last one that was let through."""
        place = f"{request.operation.bucket}/{request.key}"
        now = time.monotonic()
        if not request.is_write or now - self._let_through.get(place, 0.0) >= limit.seconds:
            if request.is_write:
                self._let_through[place] = now
            return None
        return TOO_MANY_WRITES

    # --- connections --------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return  # closed
            wire = Wire(accepted)
            with self._lock:
                if self._closed:
                    wire.close()
                    return
                self._wires.add(wire)
            threading.Thread(target=self._serve, args=(wire,), name=self._name, daemon=True).start()

    def _serve(self, client: Wire) -> None:
        connection = Connection(client)
        try:
            while (head := client.head()) is not None and Exchange(self, connection, head).run():
                pass
        except OSError:
            return  # one side went away, and the other is about to learn of it
        finally:
            with self._lock:
                self._wires.discard(client)
            connection.drop_upstream()
            client.close()
