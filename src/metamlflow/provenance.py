"""What a client says of runs, lineage and history; :class:`MetaMLFlowClient` is one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from metamlflow.errors import InvalidInputError, RunNotFoundError
from metamlflow.format.manifests import is_record_id
from metamlflow.given_versions import Version, used_version
from metamlflow.lineage import Lineage
from metamlflow.model.metadata import decode
from metamlflow.model.names import ArtifactName
from metamlflow.model.runs import RunRecord
from metamlflow.runs import Run, joined
from metamlflow.sessions import Session
from metamlflow.store.catalog.history import History, history_of
from metamlflow.store.lineage.current_run import recorded_in
from metamlflow.store.lineage.inputs import load_used
from metamlflow.store.lineage.runs import load_run
from metamlflow.store.lineage.walk import DIRECTIONS, Direction, walk


class Provenance:
    """The part of a client that is about where things come from."""

    _session: Session

    def run(self, name: str, params: Mapping[str, Any] | None = None, *, capture_user: bool = True) -> Run:
        """Return a run: ``with client.run("train", params={…}) as run:``, or a decorator, each call a run of its own.

        Inside, artifacts whose bytes are used become inputs, and those that are registered name all that was used. What
        is captured of code and machine is listed in ``docs/lineage.md``; no environment variable is.

        Args:
            name: what is run, such as ``train``.
            params: JSON-like values.
            capture_user: whether user and host are recorded.
        """
        return Run(self._session, name, params, capture_user=capture_user)

    def join_run(self, token: str) -> AbstractContextManager[None]:
        """Return a context in which this process belongs to a run of another one: that with this :attr:`Run.token`."""
        return recorded_in(joined(self._session, token))

    def get_run(self, run_id: str) -> RunRecord:
        """Return what is recorded of a run: its beginning, what it used, and its end, which an unfinished one has not.

        Parameters and metrics come back as metadata do: ``docs/metadata.md`` tells what comes back how.

        Args:
            run_id: as :attr:`Run.id` gives it; a version's is in ``artifact.run_id``.

        Raises:
            RunNotFoundError: there is no such run.
        """
        store = self._session.store
        store.marker()
        if is_record_id(str(run_id)) or (record := load_run(store, str(run_id))) is None:
            raise RunNotFoundError(f"there is no run {run_id!r:.80} in {store.url}", hint="Its id is 32 hex digits.")
        return _decoded(record)

    def lineage(self, ref: Version, direction: Direction = "both", depth: int | None = None) -> Lineage:
        """Return what a version was made from and what was made from it, as a graph.

        Upstream it costs a read for each version; downstream a listing and a read for each consumer.

        Args:
            ref: an artifact, a dataset, an input of another artifact, or a reference such as ``"model@3"``.
            direction: ``upstream``, ``downstream`` or ``both``.
            depth: how many steps; None walks to the ends.

        Raises:
            ArtifactNotFoundError: there is no such version.
        """
        if direction not in DIRECTIONS:
            raise InvalidInputError(
                f"unknown direction {direction!r:.80}", hint="Give 'upstream', 'downstream' or 'both'."
            )
        store = self._session.store
        if isinstance(ref, str):
            store.marker()
        return Lineage(store, walk(store, load_used(store, used_version(store, ref)), direction, depth))

    def history(self, name: str) -> History:
        """Return all versions of a name, those that were pruned included, and whether each follows the one before.

        Every manifest is read, and its digest compared with what the next one recorded. Nothing is recorded yet of the
        newest, so what was done to it alone is not seen.

        Raises:
            ArtifactNotFoundError: there is no such name.
        """
        store = self._session.store
        store.marker()
        return history_of(store, ArtifactName.parse(name))


def _decoded(record: RunRecord) -> RunRecord:
    """Return a record with the values that its job gave, instead of the JSON that stands for them."""
    start, end = record.start, record.end
    return replace(
        record,
        start=replace(start, params=decode(start.params)),
        end=None if end is None else replace(end, metrics=decode(end.metrics)),
    )
