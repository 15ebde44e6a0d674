"""The single differences between two versions, and lists of them that are looked up by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, overload

from metamlflow._looks import one_line


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """Its name among those like it."""


N = TypeVar("N", bound=Named)


class Parts(Sequence[N], Generic[N]):
    """Differences of one kind: sized, iterable, and accessible by position or by name; a name is ``in`` them, too."""

    def __init__(self, items: Sequence[N] = ()) -> None:
        self._items = tuple(items)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(item.name for item in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[N]:
        return iter(self._items)

    @overload
    def __getitem__(self, index: int | str) -> N: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[N]: ...
    def __getitem__(self, index: int | str | slice) -> N | Sequence[N]:
        """Return the one at a position or with a name, or those of a slice. KeyError or IndexError as usual."""
        if not isinstance(index, str):
            return self._items[index]
        for item in self._items:
            if item.name == index:
                return item
        raise KeyError(index)

    def __contains__(self, item: object) -> bool:
        """Whether one has this name; given a difference, whether it is one of these."""
        return any(own.name == item if isinstance(item, str) else own == item for own in self._items)

    def __eq__(self, other: object) -> bool:
        return self._items == other._items if isinstance(other, Parts) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        shown = ", ".join(f"'{one_line(name, 24)}'" for name in self.names[:3])
        return f"<{len(self):,}{': ' if shown else ''}{shown}{', …' if len(self) > 3 else ''}>"  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class DiffValue:
    """A value that only one of two versions has.

    Attributes:
        name: where it is: a key of the metadata, or a path such as ``metrics.auc`` or ``steps[2]``.
        value: the value, with everything in it.
    """

    name: str
    value: Any

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; NaN and the infinities, which JSON lacks, as texts."""
        return {"name": self.name, "value": plain(self.value)}


@dataclass(frozen=True, slots=True)
class ChangedValue:
    """A value that two versions have in the same place, and that differs.

    Attributes:
        name: where it is.
        before: the value in the first version.
        after: the value in the second.
    """

    name: str
    before: Any
    after: Any

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; NaN and the infinities, which JSON lacks, as texts."""
        return {"name": self.name, "before": plain(self.before), "after": plain(self.after)}


@dataclass(frozen=True, slots=True)
class DiffColumn:
    """A column of a table.

    Attributes:
        name: its name.
        type: its Arrow type, such as ``int64``.
        nullable: whether it may hold nulls.
    """

    name: str
    type: str
    nullable: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the column as JSON values."""
        return {"name": self.name, "type": self.type, "nullable": self.nullable}

    def __str__(self) -> str:
        return f"{self.type}{'' if self.nullable else ' not null'}"


@dataclass(frozen=True, slots=True)
class ChangedColumn:
    """A column that two tables have, with another type, or with nulls in one of them alone.

    Attributes:
        name: its name.
        before: the column in the first version.
        after: the column in the second.
    """

    name: str
    before: DiffColumn
    after: DiffColumn

    def to_json(self) -> dict[str, Any]:
        """Return the change as JSON values."""
        return {"name": self.name, "before": self.before.to_json(), "after": self.after.to_json()}


def plain(value: Any) -> Any:
    """Return a value as JSON values."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in {float("inf"), float("-inf")}):  # noqa: PLR0124 (NaN)
        return str(value)
    return value
