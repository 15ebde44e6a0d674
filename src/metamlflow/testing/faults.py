"""Faults that a storage can have, as values: the calls that they hit, and their effect."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol

from metamlflow.errors import AlreadyExistsError, StorageUnavailableError


class Crashed(BaseException):
    """A simulated death of the process. No ``except Exception`` may catch it, as none catches a SIGKILL."""


def kill_process() -> None:
    """End this process at once, without any clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


def simulated_crash() -> None:
    """Unwind the stack instead of ending the process; from then on the crashed backend refuses all calls."""
    raise Crashed


class Surroundings(Protocol):
    """The methods of the backend that a fault may use."""

    def die(self, crash: Callable[[], None]) -> None:
        """Refuse all further calls, and crash."""

    def postpone(self, apply: Callable[[], Any], *, calls: int | None, seconds: float | None) -> None:
        """Apply a call later."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Which calls a fault hits. By itself it does nothing to them; its subclasses do.

    Attributes:
        verb: the methods that are hit, joined by ``|``: ``create``, ``put``, ``open``, ``read``, ``stat``,
            ``list_objects``, ``delete``; ``*`` is any.
        key: glob of keys, in which ``*`` spans slashes. A listing's key is its prefix; a delete is hit if one of its
            keys is.
        nth: the first matching call that is hit, counted from 1.
        times: how many matching calls are hit from there on; None for all.
    """

    verb: str = "*"
    key: str = "*"
    nth: int = 1
    times: int | None = 1

    def matches(self, verb: str, keys: tuple[str, ...]) -> bool:
        """Return whether this fault counts a call."""
        return bool({"*", verb} & set(self.verb.split("|"))) and any(fnmatchcase(key, self.key) for key in keys)

    def hits(self, count: int) -> bool:
        """Return whether it strikes at the matching call with this number."""
        return self.nth <= count and (self.times is None or count < self.nth + self.times)

    def strike(self, apply: Callable[[], Any], where: str, around: Surroundings) -> Any:  # noqa: ARG002
        """Perform the call with the fault's effect. ``apply`` performs it; ``where`` names it in messages."""
        return apply()


def _unavailable(where: str, what: str) -> StorageUnavailableError:
    return StorageUnavailableError(f"{where}: {what}", hint="This is a fault of a test's plan.", key=where)


@dataclass(frozen=True, kw_only=True)
class FailBefore(Fault):
    """A call that is not applied; the caller gets ``error(where)``, by default StorageUnavailableError."""

    error: Callable[[str], Exception] = field(default=lambda where: _unavailable(where, "the request was refused"))

    def strike(self, apply: Callable[[], Any], where: str, around: Surroundings) -> Any:  # noqa: ARG002
        """Fail."""
        raise self.error(where)


@dataclass(frozen=True, kw_only=True)
class LostReply(Fault):
    """A call that is applied, while its caller gets StorageUnavailableError, even if it raised another error."""

    def strike(self, apply: Callable[[], Any], where: str, around: Surroundings) -> Any:  # noqa: ARG002
        """Apply, then fail."""
        cause: Exception | None = None
        try:
            apply()
        except Exception as error:  # noqa: BLE001 (the reply is lost whatever it said)
            cause = error
        raise _unavailable(where, "the reply was lost") from cause


@dataclass(frozen=True, kw_only=True)
class FalseConflict(Fault):
    """A create that raises AlreadyExistsError although nothing was written."""

    verb: str = "create"

    def strike(self, apply: Callable[[], Any], where: str, around: Surroundings) -> Any:  # noqa: ARG002
        """Claim a conflict."""
        raise AlreadyExistsError(f"{where} exists already", key=where)


@dataclass(frozen=True, kw_only=True)
class Late(Fault):
    """A write that is applied later, while its caller gets StorageUnavailableError at once.

    It is applied just before the ``calls``-th further call, or after ``seconds``, or when the backend's ``settle`` is
    called. Its outcome is appended to the backend's ``late_outcomes``.
    """

    verb: str = "create|put|delete"
    calls: int | None = None
    seconds: float | None = None

    def strike(self, apply: Callable[[], Any], where: str, around: Surroundings) -> Any:
        """Postpone."""
        around.postpone(apply, calls=self.calls, seconds=self.seconds)
        raise _unavailable(where, "no answer came in time")


@dataclass(frozen=True, kw_only=True)
class Truncated(Fault):
    """A read, or a reader, that ends after ``length`` bytes without an error."""

    verb: str = "open|read"
    length: int = 0

    def strike(self, apply: Callable[[], Any], where: str, around: Surroundings) -> Any:  # noqa: ARG002
        """Truncate the bytes that were read."""
        return _altered(apply(), lambda data: data[: self.length])


@dataclass(frozen=True, kw_only=True)
class FlippedBit(Fault):
    """A read, or a reader, that returns the byte at ``at`` with its lowest bit inverted."""

    verb: str = "open|read"
    at: int = 0

    def strike(self, apply: Callable[[], Any], where: str, around: Surroundings) -> Any:  # noqa: ARG002
        """Alter the bytes that were read."""

        def flip(data: bytes) -> bytes:
            return data[: self.at] + bytes(byte ^ 1 for byte in data[self.at : self.at + 1]) + data[self.at + 1 :]

        return _altered(apply(), flip)


def _altered(result: Any, alter: Callable[[bytes], bytes]) -> Any:
    if isinstance(result, bytes):
        return alter(result)
    with result:
        return io.BytesIO(alter(result.read()))


@dataclass(frozen=True, kw_only=True)
class Crash(Fault):
    """A death of the process before or after the call is applied.

    With the default ``verb`` and ``key``, ``nth`` counts every call: a test that first counts the calls of a use case
    (``len(backend.calls)``) can crash it before and after each.

    Attributes:
        when: ``before`` or ``after``.
        crash: :func:`kill_process`, or :func:`simulated_crash` for tests within one process.
    """

    when: Literal["before", "after"] = "before"
    crash: Callable[[], None] = kill_process

    def strike(self, apply: Callable[[], Any], where: str, around: Surroundings) -> Any:  # noqa: ARG002
        """Die."""
        try:
            if self.when == "after":
                apply()
        finally:  # also if the call failed
            around.die(self.crash)
