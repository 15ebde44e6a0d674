"""The changes of an alias: each of them is a record that says what it stands for from then on, since when and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metamlflow._looks import minute_text, one_line, table_of, utc_text
from metamlflow.errors import InvalidInputError


def checked_expectation(expected: object) -> int | None:
    """Return the version that a caller expects: 0 for none; None if anything will do.

    Raises:
        InvalidInputError: it is neither a number of a version nor 0.
    """
    if expected is None:
        return None
    if isinstance(expected, bool) or not isinstance(expected, int) or expected < 0:
        raise InvalidInputError(f"expected is the number of a version, or 0 for none, not {expected!r:.80}")
    return expected


@dataclass(frozen=True, slots=True, repr=False)
class AliasChange:
    """One change of an alias, as its record holds it.

    Attributes:
        name: the artifact's name.
        alias: the alias.
        number: the number of the change, counted from 1.
        version: the version that the alias stands for from then on; None if it was removed.
        note: why; None if nobody said so.
        created_at: the time of the change in UTC, by the clock of the machine that made it.
        created_by: who made the change; None if the record does not say so.
        writer: the program that wrote the record; None if it does not say so.
    """

    name: str
    alias: str
    number: int
    version: int | None
    note: str | None
    created_at: datetime
    created_by: str | None = None
    writer: str | None = None

    @property
    def reference(self) -> str:
        """The alias with its name: ``name@alias``."""
        return f"{self.name}@{self.alias}"

    def to_json(self) -> dict[str, Any]:
        """Return the change as JSON values."""
        return {
            "name": self.name,
            "alias": self.alias,
            "number": self.number,
            "version": self.version,
            "note": self.note,
            "created_at": utc_text(self.created_at),
            "created_by": self.created_by,
            "writer": self.writer,
        }

    def __repr__(self) -> str:
        why = "" if self.note is None else f" '{one_line(self.note, 30)}'"
        who = "" if self.created_by is None else f" by {one_line(self.created_by, 30)}"
        return f"<AliasChange {one_line(self.reference)} {self._meaning()}: {minute_text(self.created_at)}{who}{why}>"

    def _repr_html_(self) -> str:
        facts = {
            "change": f"{self.number}: {self._meaning()}",
            "made": minute_text(self.created_at) + (f" by {self.created_by}" if self.created_by else ""),
            "note": self.note or "",
        }
        return table_of(self.reference, facts)

    def _meaning(self) -> str:
        return "removed" if self.version is None else f"is version {self.version}"
