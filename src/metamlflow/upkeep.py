"""What a client does to keep a store sound: verifying and repairing it; :class:`MetaMLFlowClient` is one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from metamlflow.artifacts import Artifact
from metamlflow.errors import InvalidInputError, SourceNotFoundError
from metamlflow.format.layout import MARKER
from metamlflow.model.blaming import blame_by_names
from metamlflow.model.names import Reference
from metamlflow.sessions import Session
from metamlflow.store.catalog.store import Store
from metamlflow.store.repair.report import RepairReport
from metamlflow.store.transfer.local_paths import local_path
from metamlflow.store.transfer.progress import ProgressCallback, callback_errors
from metamlflow.store.transfer.rate_limit import Pace
from metamlflow.store.verify.report import LEVELS, Level, Unreadable, Verification, VerifyReport
from metamlflow.store.verify.selection import every_version, wanted_versions
from metamlflow.store.verify.verify import Journal, verify_versions


class Upkeep:
    """The part of a client that is about whether what was registered is there."""

    _session: Session

    def verify_all(
        self,
        names: Iterable[str] | None = None,
        level: Level = "full",
        *,
        objects_per_second: float | None = None,
        bytes_per_second: float | None = None,
        resume: str | os.PathLike[str] | None = None,
        executor: Executor | None = None,
        progress: ProgressCallback | None = None,
    ) -> Verification:
        """Check that versions are there as they were registered, and that none of a name's is missing.

        Goes on after a finding, whatever it is.

        Args:
            names: each means all versions of that name; a reference such as ``features@2`` that version alone. Default:
                every version of every name.
            level: as for :meth:`Artifact.verify`, which explains the rest as well.
            objects_per_second: a limit.
            bytes_per_second: another.
            resume: a file that keeps what is done.
            executor: that parts of the work are given to.
            progress: called with a :class:`~metamlflow.artifacts.Progress` of the version that is being checked.

        Raises:
            ArtifactNotFoundError: one of ``names`` does not exist; nothing was checked.
            StoreNotFoundError: there is no store.
        """
        if level not in LEVELS:
            raise InvalidInputError(f"level is {', '.join(LEVELS)}, not {level!r:.80}")
        store = self._session.store
        wanted = [names] if isinstance(names, str) else names
        versions = every_version(store) if wanted is None else wanted_versions(store, wanted)
        journal = None if resume is None else Journal(resume, store, level)
        pace = Pace(objects_per_second, bytes_per_second)
        with callback_errors():
            found = list(
                verify_versions(store, versions, level, progress, pace=pace, journal=journal, executor=executor)
            )
        if journal:
            journal.finish()
        return Verification(
            tuple(report for report in found if isinstance(report, VerifyReport)),
            tuple(error for error in found if isinstance(error, Unreadable)),
        )

    def repair(
        self,
        ref: str | Artifact,
        source: Any,
        *,
        source_options: Mapping[str, Any] | None = None,
        progress: ProgressCallback | None = None,
    ) -> RepairReport:
        """Put back what a full verification of a version finds missing or modified, under the very key.

        Every version that shares an object is healed with it. Only bytes with the digest in the object's name are
        written, and they are read back; what is good already is left alone. So repairing twice, or twice at once, does
        no harm, and a repair that was killed leaves each object as it was or whole. What is only pointed to is not
        repaired.

        A damaged list of files, or manifest, is put back from another store that has it. Which manifest is the right
        one is known from the next version, or from an artifact that was loaded before the damage.

        Args:
            ref: a reference such as ``"features@2"``, or an artifact.
            source: that has good bytes: a file, a folder with the files under their logical paths (such as an earlier
                download), the URL of another store, or a client on one.
            source_options: fsspec options of the source, if it is a store that is given by its URL.
            progress: called with a :class:`~metamlflow.artifacts.Progress`.

        Returns:
            What was put back and what is still damaged, each with path, key and reason. True in a condition if nothing
            is damaged any more.

        Raises:
            SourceNotFoundError: there is nothing at ``source``, or it has no good copy of the version's manifest.
            ArtifactNotFoundError: there is no such version.
            ArtifactPrunedError: the version's bytes were given up.
            InvalidInputError: ``source`` is the store itself.
            AccessDeniedError: the manifest may not be overwritten. (Of other objects that is told in the report.)
        """
        from metamlflow.store.repair.donors import Donor, FileDonor, StoreDonor
        from metamlflow.store.repair.repair import repair_version

        store = self._session.store
        place = _local(source)
        donor: Donor
        if place is not None and not (place / MARKER).is_file():
            if not place.exists():
                raise SourceNotFoundError(f"there is nothing at {place}", hint="Check the path.", source=str(place))
            donor = FileDonor(place)
        else:
            other = self._other_store(source, source_options)
            if other.url == store.url:
                raise InvalidInputError("the source is the damaged store itself", hint="Give a copy of it.")
            donor = StoreDonor(other)
        wanted = ref._loaded if isinstance(ref, Artifact) else Reference.parse(ref)  # noqa: SLF001 (its own kind)
        return repair_version(store, wanted, donor, progress)

    def _other_store(self, source: Any, options: Mapping[str, Any] | None) -> Store:
        if isinstance(source, Upkeep):
            if options:
                raise InvalidInputError(
                    "options were given for a client, which has its own", hint="Give them when you make the client."
                )
            return source._session.store  # noqa: SLF001 (its own kind)
        try:
            client = type(self)(source, storage_options=options)  # type: ignore[call-arg]  # a client is one
        except InvalidInputError as error:
            blame_by_names(error, {"storage_uri": "source", "storage_options": "source_options"})
            raise
        return client._session.store  # noqa: SLF001 (its own kind)


def _local(source: Any) -> Path | None:
    """Return the local path that a source of good bytes is, or None."""
    if isinstance(source, Upkeep):
        return None
    if not isinstance(source, str | os.PathLike):
        raise InvalidInputError(f"a source is a path, a URL or a client, not {type(source).__name__}")
    text = os.fspath(source)
    if not text:
        raise InvalidInputError("an empty source names nothing", hint="Use '.' for the current folder.")
    path = local_path(text)
    return None if path is None else Path(path)
