"""A stage for real clients: each runs in a thread of its own, and only when it is told to, one request at a time.

A client's request waits until the test lets the server carry it out, loses its answer, lets it land late, or kills the
client. Between any two requests time may pass, and another client may go on. What a client does between two requests
takes no time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import StorageUnavailableError
from metamlflow.testing import Crashed

GRACE = timedelta(days=7)
LATE = GRACE / 16
OPEN = GRACE / 64
"""How long a request that writes is under way at most before it is given up."""
WRITES = frozenset({"create", "put", "replace", "delete"})
MOST_REQUESTS = 3_000
_PATIENCE = 120


@dataclass(eq=False)
class Request:
    """One request: what the server is to do, and until when it does it, if it was sent and not given up."""

    verb: str
    key: str
    apply: Callable[[], Any]
    until: datetime | None
    store: Any = None
    outcome: tuple[str, Any] | None = None

    @property
    def writes(self) -> bool:
        return self.verb in WRITES


class Time:
    """The server's clock, which the test moves; machines count the same time, and their calendars are wrong."""

    def __init__(self) -> None:
        self.now = datetime(2031, 1, 1, tzinfo=UTC)

    def counted(self) -> float:
        return (self.now - datetime(2030, 1, 1, tzinfo=UTC)).total_seconds()


class Actor:
    """One call of one client, in a thread that waits at each request until it is told to go on."""

    def __init__(self, what: str, work: Callable[[], Any], slot: Any, stage: Stage) -> None:
        self.what, self.slot, self.stage = what, slot, stage
        self.allowed, self.up_to_a_write = 0, False
        self.request: Request | None = None
        self.is_over = self.is_killed = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.requests = 0
        self.deleted: list[str] = []
        self.ids: list[str] = []
        self.looks_since: datetime | None = None
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._work = work
        self._thread = threading.Thread(target=self._run, name=f"actor {what}", daemon=True)
        self._thread.start()
        self._wait()

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001 (a killed one unwinds by one, and the test judges all others)
            self.error = error
        self.is_over = True
        self._back.release()

    def _wait(self) -> None:
        assert self._back.acquire(timeout=_PATIENCE), f"{self.what} hangs"
        if self.is_over:
            self._thread.join(_PATIENCE)

    def ask(self, request: Request) -> Any:
        """Wait for the answer to a request; called in the client's thread."""
        if self.is_killed:
            raise Crashed
        self.request = request
        if self.stage is not None and self._may_go_on(request):
            try:
                self.stage.carry_out(request)
            except AssertionError as error:
                self.stage.failure = error
                raise Crashed from error
            return self._answered(request)
        self._back.release()
        assert self._go.acquire(timeout=10 * _PATIENCE)
        if self.is_killed:
            raise Crashed
        return self._answered(request)

    def _may_go_on(self, request: Request) -> bool:
        """Whether a request is carried out at once: the test has let so many through, or all up to one that writes."""
        self.allowed -= 1
        return self.allowed >= 0 and not (self.up_to_a_write and request.writes)

    def _answered(self, request: Request) -> Any:
        self.request = None
        self.requests += 1
        assert self.requests < MOST_REQUESTS, f"{self.what} never ends"
        kind, value = request.outcome or ("error", AssertionError("no answer"))
        if kind == "error":
            raise value
        return value

    def go_on(self, more: int = 0, *, up_to_a_write: bool = False) -> None:
        """Hand over the answer, and wait until it has made so many more requests, or is done."""
        self.allowed, self.up_to_a_write = more, up_to_a_write
        self._go.release()
        self._wait()

    def kill(self) -> None:
        """End the process: nothing that it holds is cleaned up at the storage."""
        self.is_killed = True
        while not self.is_over:
            self.go_on()


def submit_here(_: ThreadPool, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
    """Work at once where a client on the stage would start a thread: its requests come one after the other."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    try:
        future.set_result(work(*args, **options))
    except BaseException as error:  # noqa: BLE001 (as a pool does)
        future.set_exception(error)
    return future


@dataclass
class Stage:
    """All clients that are under way, and the requests that were given up and may still land."""

    time: Time = field(default_factory=Time)
    actors: list[Actor] = field(default_factory=list)
    late: list[Request] = field(default_factory=list)
    applied: Callable[[Request], None] = lambda _: None
    failure: AssertionError | None = None
    deleting: Callable[[Any, str], None] = lambda _bucket, _key: None

    def carry_out(self, request: Request) -> None:
        """Let the server do what it was asked for."""
        if request.outcome is not None:
            return
        try:
            request.outcome = "value", request.apply()
        except AssertionError:  # the test's own
            raise
        except Exception as error:  # noqa: BLE001 (it is the answer)
            request.outcome = "error", error
        if request.writes:
            self.applied(request)

    def answer(self, actor: Actor, more: int = 0, *, up_to_a_write: bool = False) -> None:
        """Carry out what an actor waits for, unless that was done, and let it make so many more requests."""
        assert actor.request is not None
        self.carry_out(actor.request)
        actor.go_on(more, up_to_a_write=up_to_a_write)
        if self.failure:
            raise self.failure

    def lose(self, actor: Actor, *, lands: bool | None) -> None:
        """Give the request of an actor up: it was carried out, or will be later, or never (``lands`` is None)."""
        request = actor.request
        assert request is not None
        if lands:
            self.carry_out(request)
        elif lands is False and request.writes and request.outcome is None:
            self.late.append(
                Request(request.verb, request.key, request.apply, self.time.now + LATE, store=request.store)
            )
        request.outcome = "error", StorageUnavailableError(f"{request.verb} {request.key}: no answer came")
        actor.go_on()

    def land(self, request: Request) -> None:
        """Let a request that was given up take effect."""
        self.late.remove(request)
        self.carry_out(request)

    def pass_time(self, time: timedelta) -> None:
        """Let time pass; what is under way, or was given up, is carried out before it is too late for that."""
        until = self.time.now + time
        while True:
            waiting = [actor.request for actor in self.actors if actor.request and actor.request.outcome is None]
            due = [request for request in [*waiting, *self.late] if request.until and request.until <= until]
            if not due:
                break
            first = min(due, key=lambda request: request.until or until)
            self.time.now = max(self.time.now, first.until or until)
            (self.land if first in self.late else self.carry_out)(first)
        self.time.now = until
