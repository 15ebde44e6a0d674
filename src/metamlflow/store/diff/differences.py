"""The differences between two versions, before they are shown."""

from __future__ import annotations

from dataclasses import dataclass

from metamlflow.store.diff.files import FilesDiff
from metamlflow.store.diff.metadata import ValuesDiff
from metamlflow.store.diff.parts import ChangedValue, Parts
from metamlflow.store.diff.rows import RowsDiff
from metamlflow.store.diff.schema import SchemaDiff


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Differences:
    """The differences between two versions. True in a condition if there are any.

    Who made them, when and in which run is not compared. ``str()`` gives a text for people, of 80 columns.

    Attributes:
        before: the reference of the first version, such as ``features@1``.
        after: the reference of the second version.
        elsewhere: the URL of the second version's store, if that is another one; else empty.
        facts: what differs of the versions as a whole: type, kind, number of files, size, content digest.
        files: files that were added, removed, modified and renamed; compared at the first use, and read lazily.
        schema: columns that were added, removed and changed, as the schemas were captured.
        metadata: values that were added, removed and changed, by their places, such as ``metrics.auc``.
        inputs: the same of the inputs.
        rows: how many rows differ; None if that was not asked for.
    """

    before: str
    after: str
    elsewhere: str
    facts: Parts[ChangedValue]
    files: FilesDiff
    schema: SchemaDiff
    metadata: ValuesDiff
    inputs: ValuesDiff
    rows: RowsDiff | None = None

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self

    def __bool__(self) -> bool:
        return bool(self.facts or self.schema or self.metadata or self.inputs or self.rows or self.files)
