"""What must be sound before anything is given up or deleted: cheap checks for whoever is about to do so.

A store that has lost something is not made smaller: what a damaged record names is not known, and what is left may be
the last trace of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metamlflow.errors import IntegrityError
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.blob_index import Compared
from metamlflow.store.retain.fsck.report import FsckFinding, found
from metamlflow.store.retain.fsck.second_look import judged_twice, records_of
from metamlflow.store.retain.versions import NameRecords, Now
from metamlflow.store.transfer.rate_limit import RateLimit

GRAVE = frozenset(
    {
        "manifest-unreadable", "manifest-altered", "version-missing", "tomb-unreadable", "state-unreadable",
        "list-damaged", "blob-missing", "blob-size", "unknown-key", "features-unreadable",
    }
)  # fmt: skip
"""The kinds of findings with which nothing is deleted."""
_SHOWN = 10


def faults_of_name(store: Store, name: ArtifactName) -> list[FsckFinding]:
    """Return the grave faults in the records of a name: one listing, and one read of each; no content is looked at."""
    records = records_of(store, NameRecords(name), RateLimit())
    _, findings = judged_twice(store, records, Now.of(store), RateLimit())
    return [finding for finding in findings if finding.severity == "fault" and finding.kind in GRAVE]


def faults_of_content(compared: Iterable[Compared]) -> Iterator[FsckFinding]:
    """Yield the named blobs that a listing does not show, or shows with another size. No request.

    Args:
        compared: what kept versions name beside what is listed, as
            :func:`~metamlflow.store.retain.blob_index.named_and_listed` gives it.
    """
    for key, namings, info in compared:
        for naming in namings:
            if info is None:
                yield found("blob-missing", key, f"{key} is missing", expected=f"{naming.size} bytes", actual="missing")
            elif info.size != naming.size:
                actual = f"{info.size} bytes"
                message = f"{key} has {actual} instead of {naming.size}"
                yield found("blob-size", key, message, expected=f"{naming.size} bytes", actual=actual)
            else:
                continue
            break


def refuse_faults(findings: Iterable[FsckFinding]) -> None:
    """Raise IntegrityError if there is any finding; the message names the first ten."""
    grave = list(findings)
    if not grave:
        return
    shown = "\n  ".join(f"{finding.kind}: {finding.message}" for finding in grave[:_SHOWN])
    more = f"\n  and {len(grave) - _SHOWN:,} more" if len(grave) > _SHOWN else ""
    raise IntegrityError(
        f"the store has faults, so nothing of it is given up or deleted:\n  {shown}{more}",
        hint="`metamlflow fsck` lists all of them, and `metamlflow fsck --from COPY` repairs what a copy has.",
        expected=grave[0].expected,
        actual=grave[0].actual,
        key=grave[0].key,
    )
