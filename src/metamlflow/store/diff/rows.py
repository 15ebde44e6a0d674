"""The rows that differ between two versions, counted by duckdb: by key columns, or as whole rows.

Columns are given to duckdb by numbers, so no name of a stranger's table becomes part of a query. duckdb gets rows and
opens no file: it may only write what does not fit into memory to a folder of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metamlflow._packages import imported
from metamlflow.errors import InvalidInputError, StorageError
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.likeness import quoted
from metamlflow.store.catalog.store import Store
from metamlflow.store.diff.parts import ChangedColumn, DiffColumn, Parts
from metamlflow.store.diff.shared_types import SharedType, shared_type
from metamlflow.store.diff.tables import Rows
from metamlflow.store.transfer.spooling import temp_folder

Side = tuple[Store, StoredManifest]
_TABLES = ("before", "after")


@dataclass(frozen=True, slots=True)
class RowsDiff:
    """How many rows differ between two versions. True in a condition if any do.

    Only the columns that both versions have are compared. Nulls are equal to nulls, NaN to NaN, and 0.0 to -0.0. Of
    the rows that
    share a key, equal ones are unchanged, and of the rest as many as both versions have are changed.

    Attributes:
        keys: the key columns; without any, whole rows are compared, and none is changed.
        columns: the names of the compared columns, the key columns included.
        before: the number of rows of the first version.
        after: of the second version.
        added: rows that only the second version has.
        removed: rows that only the first version has.
        changed: rows that both have, by their key, with other values.
        duplicates: in each of the two versions, the rows beyond the first with their key.
        null_keys: in each of the two versions, the rows with a null among their key.
        retyped: columns with another type in the two versions; they are compared without rounding a value.
        left_out: the columns that both have and that were not compared, and why.
        as_text: whether the columns of CSV files were compared as text, since their values fit no type.
    """

    keys: tuple[str, ...]
    columns: tuple[str, ...]
    before: int
    after: int
    added: int
    removed: int
    changed: int
    duplicates: tuple[int, int] = (0, 0)
    null_keys: tuple[int, int] = (0, 0)
    retyped: Parts[ChangedColumn] = field(default_factory=Parts)
    left_out: Mapping[str, str] = field(default_factory=dict, hash=False)
    as_text: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def unchanged(self) -> int:
        """The number of rows that both versions have."""
        return self.before - self.removed - self.changed

    @property
    def notes(self) -> list[str]:
        """What to know about these numbers, in sentences."""
        found = []
        for what, (before, after) in (
            ("rows that repeat the key of another", self.duplicates),
            ("rows with a null key", self.null_keys),
        ):
            if before or after:
                found.append(f"{what}: {before:,} before, {after:,} after")
        found += [f"{one.name} is compared as {one.before.type} and {one.after.type}" for one in self.retyped]
        found += [f"{name} is not compared: {why}" for name, why in self.left_out.items()]
        if self.as_text:
            found.append("the columns of CSV files are compared as text")
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        names = ("before", "after", "added", "removed", "changed", "unchanged")
        return {
            "keys": list(self.keys),
            "columns": list(self.columns),
            **{name: getattr(self, name) for name in names},
            "duplicates": list(self.duplicates),
            "null_keys": list(self.null_keys),
            "retyped": [one.to_json() for one in self.retyped],
            "left_out": dict(self.left_out),
            "as_text": self.as_text,
        }

    def __repr__(self) -> str:
        parts = (f"{getattr(self, name):,} {name}" for name in ("added", "removed", "changed", "unchanged"))
        return f"<{', '.join(parts)}>"


def rows_diff(before: Side, after: Side, keys: Iterable[str]) -> RowsDiff:
    """Compare the tables of two versions.

    Raises:
        InvalidInputError: a version has no table, its files are not of one table, or a key column is missing.
        MissingDependencyError: duckdb or pyarrow is not installed.
        IntegrityError: content is damaged or missing.
        StorageError: duckdb found no room in memory or on disk.
    """
    wanted = tuple(dict.fromkeys(keys))
    duckdb = imported("duckdb", "duckdb")
    with temp_folder() as place:
        folders = [Path(place, name) for name in ("before", "after", "duckdb")]
        for folder in folders:
            folder.mkdir()
        for as_text in (False, True):
            sides = Rows(*before, folders[0], as_text=as_text), Rows(*after, folders[1], as_text=as_text)
            try:
                return _Comparison(duckdb, *sides, wanted, folders[2]).counted()
            except InvalidInputError:
                # A later value may not fit the type that the first block of a CSV file seemed to have.
                if as_text or not any(side.inferred and side.failure for side in sides):
                    raise
    raise AssertionError


@dataclass(frozen=True, slots=True)
class _Column:
    """A column that both versions have: its name, its place in each of the two, and how it is compared."""

    name: str
    places: tuple[int, int]
    shared: SharedType


class _Comparison:
    """One comparison: which columns take part, and the queries."""

    def __init__(self, duckdb: Any, before: Rows, after: Rows, keys: tuple[str, ...], folder: Path) -> None:
        self._pa = imported("pyarrow", "arrow")
        self._duckdb = duckdb
        self._sides = before, after
        self._keys = keys
        self._folder = folder
        self._left_out: dict[str, str] = {}
        self._columns: list[_Column] = []

    def counted(self) -> RowsDiff:
        """Return the numbers."""
        with self._connected() as connection:
            self._choose(connection)
            try:
                return self._numbers(connection)
            except self._duckdb.Error as error:
                for side in self._sides:
                    if side.failure is not None:  # duckdb knows only its text
                        raise side.failure from None
                if isinstance(error, self._duckdb.OutOfMemoryException | self._duckdb.IOException):
                    raise StorageError(f"there is no room to compare the rows: {error!s:.300}") from error
                raise InvalidInputError(
                    f"the rows of {self._sides[0].name} and {self._sides[1].name} cannot be compared: {error!s:.300}",
                    hint="Compare the columns that matter with duckdb itself.",
                ) from error

    def _connected(self) -> Any:
        options = {
            "temp_directory": str(self._folder),
            "memory_limit": "256MB",
            "threads": "2",
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        connection = self._duckdb.connect(":memory:", config=options)
        connection.execute(
            "SET enable_external_access = false"
        )  # after the folder was set: then nothing else is opened
        return connection

    def _choose(self, connection: Any) -> None:
        """Choose the columns that both have and that can be compared, the key columns first."""
        schemas = [side.schema for side in self._sides]
        once = [{name for name in schema.names if schema.names.count(name) == 1} for schema in schemas]
        for key in self._keys:
            for side, names in zip(self._sides, once, strict=True):
                if key not in names:
                    raise InvalidInputError(
                        f"keys: {side.name} has {'several columns' if key in side.schema.names else 'no column'} "
                        f"{key!r:.100}",
                        hint=f"It has {', '.join(quoted(side.schema.names[:20]))}.",
                    )
        for name in (*self._keys, *(name for name in schemas[0].names if name not in self._keys)):
            if name not in schemas[1].names or name in self._left_out:
                continue
            if name not in once[0] & once[1]:
                self._left_out[name] = "several columns have this name"
                continue
            places = schemas[0].names.index(name), schemas[1].names.index(name)
            found = self._comparable(connection, *places)
            if isinstance(found, SharedType):
                self._columns.append(_Column(name, places, found))
            elif name in self._keys:
                raise InvalidInputError(f"keys: {name!r:.100} cannot be a key: {found}")
            else:
                self._left_out[name] = found
        if not self._columns:
            why = "; ".join(f"{name!r:.100}, since {reason}" for name, reason in [*self._left_out.items()][:9])
            raise InvalidInputError(
                f"{self._sides[0].name} and {self._sides[1].name} have no column in common"
                f"{f' that can be compared: {why}' if why else ''}"
            )

    def _comparable(self, connection: Any, before: int, after: int) -> SharedType | str:
        """Return how two columns are compared, or why they cannot be."""
        places = zip(self._sides, (before, after), strict=True)
        found = shared_type(self._pa, *(side.schema.field(place).type for side, place in places))
        if isinstance(found, str):
            return found
        try:
            for table, kind in zip(_TABLES, found.kinds, strict=True):
                connection.register(table, self._pa.schema([("c0", kind)]).empty_table())
            parts = [
                f"SELECT {one.format('c0')} AS c0 FROM {table}"  # noqa: S608 (no text of a table)
                for table, one in zip(_TABLES, found.expressions, strict=True)
            ]
            connection.execute(f"SELECT c0, count(*) FROM ({' UNION ALL '.join(parts)}) GROUP BY c0").fetchall()  # noqa: S608
        except self._duckdb.Error as error:
            return f"duckdb does not know its type: {str(error).splitlines()[0]:.100}"
        finally:
            for table in _TABLES:
                connection.unregister(table)
        return found

    def _numbers(self, connection: Any) -> RowsDiff:
        columns = ", ".join(f"c{number}" for number in range(len(self._columns)))
        parts = []
        for number, (table, side) in enumerate(zip(_TABLES, self._sides, strict=True)):
            kinds = [column.shared.kinds[number] for column in self._columns]
            schema = self._pa.schema([(f"c{place}", kind) for place, kind in enumerate(kinds)])
            batches = side.batches([column.places[number] for column in self._columns], kinds)
            connection.register(table, self._pa.RecordBatchReader.from_batches(schema, batches))
            values = ", ".join(
                f"{column.shared.expressions[number].format(f'c{place}')} AS c{place}"
                for place, column in enumerate(self._columns)
            )
            parts.append(f"SELECT {number} AS side, {values} FROM {table}")  # noqa: S608 (numbers)
        connection.execute(
            f"CREATE TEMP TABLE rows AS SELECT {columns}, count(*) FILTER (side = 0) AS old, "  # noqa: S608 (numbers)
            f"count(*) FILTER (side = 1) AS new FROM ({' UNION ALL '.join(parts)}) GROUP BY {columns}"
        )
        # Without keys, each whole row is its own key: then what is left over of one side is never a change.
        keys = ", ".join(f"c{number}" for number in range(len(self._keys))) or columns
        nulls = " OR ".join(f"c{number} IS NULL" for number in range(len(self._keys))) or "false"
        numbers = connection.execute(
            f"SELECT sum(old), sum(new), sum(same), sum(least(old - same, new - same)), sum(greatest(old - 1, 0)), "  # noqa: S608
            f"sum(greatest(new - 1, 0)), sum(old) FILTER ({nulls}), sum(new) FILTER ({nulls}) FROM "
            f"(SELECT {keys}, sum(old) AS old, sum(new) AS new, sum(least(old, new)) AS same FROM rows GROUP BY {keys})"
        ).fetchone()
        return self._result([int(number or 0) for number in numbers])

    def _result(self, numbers: Sequence[int]) -> RowsDiff:
        old, new, same, changed, *rest = numbers
        duplicates, nulls = (tuple(rest[:2]), tuple(rest[2:])) if self._keys else ((0, 0), (0, 0))
        retyped = []
        for column in self._columns:
            fields = [side.schema.field(place) for side, place in zip(self._sides, column.places, strict=True)]
            if fields[0].type != fields[1].type:
                sides = (DiffColumn(column.name, str(one.type), one.nullable) for one in fields)
                retyped.append(ChangedColumn(column.name, *sides))
        return RowsDiff(
            keys=self._keys,
            columns=tuple(column.name for column in self._columns),
            before=old,
            after=new,
            added=new - same - changed,
            removed=old - same - changed,
            changed=changed,
            duplicates=duplicates,  # type: ignore[arg-type]
            null_keys=nulls,  # type: ignore[arg-type]
            retyped=Parts(retyped),
            left_out=self._left_out,
            as_text=any(side.as_text for side in self._sides),
        )
