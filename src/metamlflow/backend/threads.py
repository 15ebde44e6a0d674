"""Worker threads that also work while Python shuts down."""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, thread
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    import asyncio  # 30 ms; whoever has an event loop has imported it

P = ParamSpec("P")
T = TypeVar("T")
_STARTS_WITHIN = 5.0  # seconds
_pools = itertools.count(1)


class ThreadPool(ThreadPoolExecutor):
    """A thread pool that works in the calling thread once Python starts no threads any more.

    That is so in an ``atexit`` handler, and in a thread that outlives the main one. A future is done then when
    :meth:`submit` returns.

    A Ctrl-C while a thread is being started leaves one that runs and that Python's pool does not know: this pool waits
    for it, too.
    """

    _is_closed = False

    def __init__(self, max_workers: int, thread_name_prefix: str = "metamlflow") -> None:
        self._names = f"{thread_name_prefix}_{next(_pools)}"
        super().__init__(max_workers, self._names)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin the work; at the interpreter's end, do it."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            # Python refuses before it has queued anything. At its end it also marks pools as shut down that are not.
            if self._is_closed or not interpreter_ends():
                raise
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 (as a pool does: it is raised to whoever asks for the result)
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 (inherited)
        """As of any pool."""
        self._is_closed = True
        super().shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            for stray in threading.enumerate():
                if stray.name.startswith(f"{self._names}_") and stray is not threading.current_thread():
                    _join(stray)


def _join(stray: threading.Thread) -> None:
    """Wait for a thread that may be about to start, or never start."""
    until = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < until:
        try:
            stray.join()
        except RuntimeError:  # it has not begun
            time.sleep(0.001)
        else:
            return


def interpreter_ends() -> bool:
    """Whether the main thread has ended, and Python is about to."""
    # The pools of all the interpreter are told to begin nothing more before the main thread counts as ended.
    return bool(getattr(thread, "_shutdown", False)) or not threading.main_thread().is_alive()


def keep_resolving(loop: asyncio.AbstractEventLoop) -> None:
    """Let an event loop look names up although the interpreter ends: it does that in its pool of threads."""
    if interpreter_ends():
        loop.call_soon_threadsafe(_give_pool, loop)


def _give_pool(loop: asyncio.AbstractEventLoop) -> None:
    if not isinstance(getattr(loop, "_default_executor", None), ThreadPool):
        loop.set_default_executor(ThreadPool(1))


# Python calls exit handlers backwards, and weakref registers its own, which closes the clients of storage, when it is
# first used. That is here: so whoever imports this library and then registers a handler finds the clients open in it.
weakref.finalize(ThreadPool, int)
