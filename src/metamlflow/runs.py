"""Runs: the inputs and outputs of a job, recorded while it works."""

from __future__ import annotations

import base64
import functools
import inspect
import json
import operator
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, ParamSpec, Self, TypeVar, cast

from metamlflow._looks import counted, one_line, table_of
from metamlflow._session import Session
from metamlflow.artifacts import Artifact
from metamlflow.errors import InvalidInputError, LineageWarning, RunNotFoundError, redact
from metamlflow.format.manifests import is_record_id
from metamlflow.format.runs import is_number
from metamlflow.model.manifests import Input
from metamlflow.model.metadata import decode, encode_mapping
from metamlflow.model.runs import MAX_SERIES, MAX_STEP, MetricSeries, RunRecord, RunStart
from metamlflow.openlineage import Emitter
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.current_run import innermost_run, recorded_in
from metamlflow.store.lineage.distributions import store_distributions
from metamlflow.store.lineage.inputs import warn_user
from metamlflow.store.lineage.runs import ActiveRun, decoded_run, load_run

__all__ = ["Run"]

P = ParamSpec("P")
R = TypeVar("R")
U = TypeVar("U")
_MOST_NAME_CHARACTERS = 200
_LOGGING = threading.Lock()  # one for all: runs that decorate functions are pickled
if hasattr(os, "register_at_fork"):  # a forked child has none of the threads that would free it
    os.register_at_fork(after_in_child=_LOGGING._at_fork_reinit)  # type: ignore[attr-defined]  # noqa: SLF001


class Run:
    """A job whose artifacts are recorded: those it uses as inputs, those it registers as outputs.

    :meth:`MetaMLFlowClient.run` returns a run, to be used as a context manager or as a decorator (then each call is a
    run of its own). Inside, every artifact whose bytes are read becomes an input at its first use, and every artifact
    that is registered lists all inputs used until then. An artifact that was loaded inside a run stays bound to it in
    any thread; :meth:`wrap` and :attr:`token` carry the run into thread pools and other processes. A recording failure
    never fails the job: it is a ``LineageWarning``. The record of a run that was killed has the inputs used so far and
    no end.
    """

    def __init__(
        self, session: Session, name: str, params: Mapping[str, Any] | None, *, capture_user: bool = True
    ) -> None:
        check_text(name, "the name of a run")
        self._session = session
        self._name = name
        self._params = encode_mapping(params)
        self._capture_user = capture_user
        self._function: Callable[..., Any] | None = None
        self._stored: ActiveRun | None = None
        self._metrics: dict[str, Any] = {}
        self._series: dict[str, MetricSeries] = {}
        self._notes: list[str] = []
        self._pid = os.getpid()
        self._has_ended = False
        self._inside = ExitStack()
        self._emitter: Emitter | None = None

    # --- the job ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._stored is not None:
            raise InvalidInputError("a run begins once", hint="Make another with client.run(…).")
        from metamlflow.store.lineage import environment as capturing

        store = self._session.store
        code = {"run": self._name, **capturing.captured_code(_caller(), self._function)}
        self._stored = ActiveRun(store, store.clock.new_id(), code)
        parent = self._stored.outer = innermost_run()
        environment = capturing.captured_environment()
        if self._stored.open():  # the marker must be the first object of a store
            environment |= store_distributions(store, capturing.captured_distributions())
        self._stored.begin(
            RunStart(
                run_id=self._stored.run_id,
                record_id=store.clock.new_id(),
                name=self._name,
                started_at=store.clock.now(),
                parent=parent.run_id if parent else None,
                user=capturing.captured_user() if self._capture_user else None,
                host=capturing.captured_host() if self._capture_user else None,
                params=self._params,
                code=code,
                environment=environment,
            )
        )
        if self._session.events:
            outer = (parent.run_id, str((parent.code or {}).get("run", parent.run_id))) if parent else None
            self._emitter = Emitter(self._session.events, store.url, self._stored.run_id, self._name, code, outer)
            self._emit("START")
        self._inside.enter_context(recorded_in(self._stored))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if self._pid != os.getpid():  # a forked child: only the parent ends the run
            return
        self._inside.close()
        # sys.exit() and sys.exit(0) are how scripts end after success.
        good = kind is None or (isinstance(error, SystemExit) and error.code in {None, 0})
        outcome, told = ("finished", None) if good or kind is None else ("failed", kind.__name__)
        self._emit("COMPLETE" if good else "FAIL")
        with _LOGGING:
            self._has_ended = True
            series = {name: logged.points() for name, logged in self._series.items()}
        self._running.end(outcome, told, self._metrics, tuple(self._notes), series)  # type: ignore[arg-type]

    def _emit(self, state: str) -> None:
        """Send an OpenLineage event of the run, if the client has an address for them. Never fails the job."""
        if self._emitter is None:
            return
        running = self._running
        try:
            inputs, outputs = running.touched(running.used()), running.touched(running.outputs())
            self._emitter.emit(state, self._session.store.clock.now(), inputs, outputs)
        except Exception as error:  # noqa: BLE001 (clients of HTTP fail in many ways)
            told = redact(f"{type(error).__name__}: {error}")
            warn_user(f"run {running.run_id}: the OpenLineage event {state} could not be sent: {told}", LineageWarning)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function`` so that each call of it is a run of its own; coroutine functions too."""
        _refuse_generators(function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._another(function):
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", awaited)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._another(function):
                return function(*args, **kwargs)

        return called

    def _another(self, function: Callable[..., Any]) -> Run:
        run = Run(self._session, self._name, None, capture_user=self._capture_user)
        run._params, run._function = self._params, function
        return run

    # --- facts --------------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> ActiveRun:
        if self._stored is None:
            raise InvalidInputError("the run has not begun", hint="Use it as `with client.run(…) as run:`.")
        return self._stored

    @property
    def id(self) -> str:
        """The run's unique id: 32 hex digits."""
        return self._running.run_id

    @property
    def name(self) -> str:
        """The name of the job."""
        return self._name

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The artifact versions used so far."""
        return self._running.used()

    @property
    def outputs(self) -> tuple[Input, ...]:
        """The artifact versions registered so far."""
        return self._running.outputs()

    @property
    def params(self) -> dict[str, Any]:
        """The parameters given at its start; a fresh copy each time."""
        return cast("dict[str, Any]", decode(self._params))

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics logged so far; a fresh copy each time."""
        return cast("dict[str, Any]", decode(self._metrics))

    def __repr__(self) -> str:
        return f"<Run {one_line(self._name)}: {self._state()}>"

    def _state(self) -> str:
        if self._stored is None:
            return "not begun"
        inputs, outputs = self._stored.counts()
        state = "ended" if self._stored.ended else "under way"
        return f"{state}, {counted(inputs, 'input')}, {counted(outputs, 'output')}"

    def _repr_html_(self) -> str:
        facts: dict[str, Any] = {"state": self._state()}
        if self._stored is not None:
            facts = {"run": self._stored.run_id, **facts}
        facts |= {f"params.{name}": value for name, value in self._params.items()}
        facts |= {f"metrics.{name}": value for name, value in self._metrics.items()}
        return table_of(f"Run {self._name}", facts)

    # --- records of the job -----------------------------------------------------------------------------------------

    def log_metrics(self, metrics: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Log metrics, such as ``accuracy=0.93``; a later value of a name replaces an earlier one.

        Metrics are stored when the run ends. Later, and in a forked child, they are a LineageWarning.
        """
        given = encode_mapping({**(metrics or {}), **more})  # a copy: the caller may change its values later
        if self._takes(f"the metrics {', '.join(map(repr, given))}"):
            with _LOGGING:
                self._metrics |= given

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Log a value of a metric that changes while the run goes on, such as the loss of each epoch.

        The series is stored when the run ends, as ``record.end.series``; its last logged value is also the metric of
        this name. It is meant for a summary: of more than 1,000 points of a series some are kept, spread evenly over
        the steps, the first and the last among them, and a run has at most 100 series. No request is made. It may be
        called by several threads. After the end of the run, and in a forked child, it is a LineageWarning.

        Args:
            name: the metric, such as ``loss``.
            value: a number; NaN and infinities too.
            step: a whole number from 0, in any order; a later value of a step replaces the earlier one. By default the
                step after the largest one.

        Raises:
            InvalidInputError: an argument is invalid, no step is given after the largest that there can be
                (2**53 - 1), or there are 100 series already. Nothing of this call is stored then.
        """
        check_text(name, "the name of a metric")
        encoded = encode_mapping({name: value})
        stored = next(iter(encoded.values()))
        if not is_number(stored):
            raise InvalidInputError(f"the value of a metric is a number, not {type(value).__name__}")
        at = None if step is None else _checked_step(step)
        if not self._takes(f"the metric {name!r}"):
            return
        with _LOGGING:
            if name not in self._series and len(self._series) >= MAX_SERIES:
                raise InvalidInputError(
                    f"a run has at most {MAX_SERIES} series of metrics",
                    hint="Log others with log_metrics(), which keeps their last value.",
                )
            self._series.setdefault(name, MetricSeries()).log(stored, at)
            self._metrics |= encoded

    def note(self, text: str) -> None:
        """Add a note, stored when the run ends."""
        if not isinstance(text, str):
            raise InvalidInputError(f"a note is a text, not {type(text).__name__}")
        encode_mapping({"note": text})
        if self._takes("a note"):
            self._notes.append(text)

    def _takes(self, what: str) -> bool:
        """Return whether what is logged now will be stored; warn if it will not."""
        if self._pid == os.getpid() and not self._has_ended:
            return True
        reason = "the run has ended" if self._has_ended else "a forked child logged it, and its parent stores the run"
        warn_user(f"run {self._name!r:.80}: {what:.200} will not be recorded: {reason}", LineageWarning)
        return False

    def use(self, used: U, role: str | None = None) -> U:
        """Record an artifact as an input although its bytes are not read here, or record its role; return it.

        Args:
            used: an artifact, or a dataset.
            role: the input's role, such as ``train``.
        """
        artifact = used if isinstance(used, Artifact) else getattr(used, "artifact", None)
        if not isinstance(artifact, Artifact):
            raise InvalidInputError(f"a run uses an artifact or a dataset, not {type(used).__name__}")
        if not self._running.is_of(artifact._store):  # noqa: SLF001 (its own session)
            warn_user(f"{artifact.name}@{artifact.version} is in another store: it is no input", LineageWarning)
        else:
            self._running.note_use(artifact._loaded, role)  # noqa: SLF001 (as above)
        return used

    # --- other threads and processes --------------------------------------------------------------------------------

    def wrap(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function`` bound to this run, in any thread or process that calls it.

        Picklable if ``function`` is picklable and not a coroutine function. The pickle holds the store's options,
        including credentials.
        """
        _refuse_generators(function)
        if inspect.iscoroutinefunction(function):
            running = self._running

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with recorded_in(running):
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", awaited)
        return cast("Callable[P, R]", _Wrapped(self._session, self.token, self._running, function))

    @property
    def token(self) -> str:
        """A text with which another process joins the run: ``with client.join_run(token):``. It holds no secret."""
        self._running.handed_over = True
        facts = {"run": self._running.run_id, "code": self._running.code}
        return base64.urlsafe_b64encode(json.dumps(facts).encode()).decode()


def _refuse_generators(function: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidInputError(
            "a run cannot decorate a generator: its body runs whenever somebody asks for more",
            hint="Use `with client.run(…):` around the loop that takes what it yields.",
        )


def _checked_step(step: Any) -> int:
    """Return a step, which may be a whole number of another library.

    Raises:
        InvalidInputError: it is none from 0 to the largest.
    """
    try:
        found = -1 if isinstance(step, bool) else operator.index(step)
    except TypeError:
        found = -1
    if not 0 <= found <= MAX_STEP:
        raise InvalidInputError(f"a step is a whole number from 0 to {MAX_STEP:,}, not {step!r:.80}")
    return found


def check_text(value: object, what: str, most: int = _MOST_NAME_CHARACTERS) -> None:
    """Check that a value is a text that a record can hold.

    Raises:
        InvalidInputError: it is not a text, is empty, too long, or not valid Unicode.
    """
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise InvalidInputError(f"{what} is a text of 1 to {most:,} characters, not {value!r:.80}")
    encode_mapping({"text": value})


class _Wrapped:
    """A function that belongs to a run."""

    def __init__(self, session: Session, token: str, running: ActiveRun | None, function: Callable[..., Any]) -> None:
        self._session, self._token, self._running, self._function = session, token, running, function
        functools.update_wrapper(self, function, updated=())

    def __getstate__(self) -> tuple[Session, str, Callable[..., Any]]:
        return self._session, self._token, self._function

    def __setstate__(self, state: tuple[Session, str, Callable[..., Any]]) -> None:
        session, token, function = state
        self.__init__(session, token, None, function)  # type: ignore[misc]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._running is None:
            self._running = joined(self._session, self._token)
        with recorded_in(self._running):
            return self._function(*args, **kwargs)


def joined(session: Session, token: str) -> ActiveRun:
    """Return the run of a token, so that another process can add to it.

    Raises:
        InvalidInputError: the token is invalid.
    """
    try:
        facts = json.loads(base64.urlsafe_b64decode(token.encode()))
        run_id, code = facts["run"], facts["code"]
        good = is_record_id(run_id) is None and isinstance(code, dict | None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise InvalidInputError("this is not the token of a run", hint="Give run.token as it is.")
    run = ActiveRun(session.store, run_id, code)
    run.handed_over = True
    return run


def _caller() -> Any:
    """Return the first frame that is not of this library."""
    frame = sys._getframe(1)  # noqa: SLF001 (as the inspect module does)
    passed_over = {"metamlflow", "contextlib"}
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in passed_over:
        frame = frame.f_back
    return frame


def recorded_run(store: Store, run_id: str) -> RunRecord:
    """Return a run's record, with parameters and metrics decoded from the JSON that stands for them.

    Raises:
        RunNotFoundError: the run does not exist.
    """
    if is_record_id(str(run_id)) or (record := load_run(store, str(run_id))) is None:
        raise RunNotFoundError(f"there is no run {run_id!r:.80} in {store.url}", hint="Its id is 32 hex digits.")
    return decoded_run(record)
