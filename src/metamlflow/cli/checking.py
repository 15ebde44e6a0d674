"""Verifying several versions, one after another, whatever is found."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from metamlflow.cli.documents import report_lines, report_rows
from metamlflow.cli.interrupting import interruptible
from metamlflow.cli.output import emit, emit_rows, printable
from metamlflow.cli.progress import shown_progress
from metamlflow.errors import IntegrityError, StoreFormatError

if TYPE_CHECKING:
    from metamlflow.artifacts import Artifact, VerifyReport
    from metamlflow.client import MetaMLFlowClient


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A version whose record is damaged, so that not even its files are known.

    Attributes:
        reference: what was asked for.
        error: why it cannot be read.
    """

    reference: str
    error: StoreFormatError | IntegrityError

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        error = self.error
        return {
            "reference": self.reference,
            "error": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
        }


def wanted_versions(client: MetaMLFlowClient, references: Sequence[str]) -> list[Artifact | Unreadable]:
    """Return the versions that are meant, before the first is checked: a mistyped name does not cost an hour.

    Raises:
        NotFoundError: one of them does not exist.
    """
    found: list[Artifact | Unreadable] = []
    for reference in references:
        try:
            found.append(client.get_artifact(reference))
        except (StoreFormatError, IntegrityError) as error:
            found.append(Unreadable(reference, error))
    return found


def every_version(client: MetaMLFlowClient) -> Iterator[Artifact | Unreadable]:
    """Yield all versions of all names that have their bytes, in the order of the names.

    Raises:
        StoreNotFoundError: there is no store.
    """
    from metamlflow.store.history import history_problems, names_in_use
    from metamlflow.store.versions import list_versions

    # The client's own listing ends at the first record that is damaged: right for its users, and no good here.
    store = client._store  # noqa: SLF001 (names and numbers alone have no public listing)
    store.marker()  # or a store that is not there would pass as an empty one
    for name in names_in_use(store):
        numbers = sorted(status.version for status in list_versions(store, name) if status.available)
        yield from wanted_versions(client, [f"{name}@{number}" for number in numbers])
        for problem in history_problems(store, name):
            yield Unreadable(name, problem)


def check(
    version: Artifact | Unreadable, level: Literal["full", "checksum", "stat"], *, quiet: bool
) -> VerifyReport | Unreadable:
    """Verify one version, and write what was found to stdout unless that is to be ``quiet``."""
    if isinstance(version, Unreadable):
        message = printable(version.error.message, keep="\n")
        if not quiet and sys.stdout.isatty():
            emit(f"failed  {version.reference}  {message}")
        elif not quiet:
            emit_rows([(version.reference, "unreadable", version.error.message)])
        return version
    what = f"verifying {version.name}@{version.version}"
    with interruptible() as interruption, shown_progress(what, interruption) as progress:
        report = version.verify(level, progress=progress)
    if quiet:
        return report
    if sys.stdout.isatty():
        for line in report_lines(report):
            emit(line)
    else:
        emit_rows(report_rows(report))
    return report
