"""Check listings before they are believed: names must ascend, and a missing object is looked for by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from metamlflow.backend.external import is_folder_marker, shown
from metamlflow.errors import ObjectNotFoundError, StorageUnavailableError
from metamlflow.store.catalog.records import with_retries

if TYPE_CHECKING:
    from metamlflow.backend.external import ObjectMeta
    from metamlflow.model.pointers import PointerEntry
    from metamlflow.store.catalog.store import Store

_ENOUGH = 8


def name_order(name: str) -> bytes:
    """Return the key by which names are listed: their bytes in UTF-8. A file's name need not be valid UTF-8."""
    return name.encode(errors="surrogateescape")


def in_order(found: Iterator[ObjectMeta], where: str, *, older: bool = False) -> Iterator[ObjectMeta]:
    """Yield a listing while its names ascend; with older versions a name may occur several times.

    Raises:
        StorageUnavailableError: a name does not ascend, so the listing may be incomplete or endless.
    """
    last: bytes | None = None
    for seen in found:
        order = name_order(seen.name)
        if last is not None and (order < last or (order == last and not older)):
            raise StorageUnavailableError(
                f"the listing of {shown(where)} goes back from {last.decode(errors='replace')!r:.200} to "
                f"{seen.name!r:.200}: its pages contradict each other",
                hint="Nothing of it was registered. Try again; if it persists, do not rely on this server's listings.",
                key=shown(where),
            )
        last = order
        yield seen


class Standing:
    """How far a listing is believed when it says that an object is gone or changed. Thread-safe enough: it only counts.

    First, several HEAD requests must agree with the listing, and none may contradict it.
    """

    def __init__(self) -> None:
        self._agreed = 0
        self._contradicted = False

    @property
    def is_believed(self) -> bool:
        """Whether HEAD requests are no longer needed."""
        return self._agreed >= _ENOUGH and not self._contradicted

    def note(self, *, agrees: bool) -> None:
        """Record whether a HEAD request agreed with the listing."""
        if agrees:
            self._agreed += 1
        else:
            self._contradicted = True


def confirm_removed(store: Store, entry: PointerEntry, standing: Standing) -> None:
    """Verify that an object which a listing omits is gone, unless the listing is already believed.

    Raises:
        StorageUnavailableError: the object exists.
    """
    if standing.is_believed or is_folder_marker(entry.uri, entry.size):
        return
    external, name = store.external.external_of(entry.uri)
    try:
        with_retries(lambda: external.head(name), store.clock)
    except ObjectNotFoundError:
        standing.note(agrees=True)
        return
    raise StorageUnavailableError(
        f"{shown(entry.uri)} exists, but the listing does not show it",
        hint="Nothing was published. Try again; if it persists, do not rely on this server's listings.",
        key=shown(entry.uri),
    )
