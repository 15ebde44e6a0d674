"""Pandas frames as Arrow tables, only if Parquet gives back the same frame.

pandas and pyarrow convert silently: labels become text, categories that are not text become plain columns, sets become
lists. So before the version exists, a part of each table is written, read back as readers do, and compared: types,
labels, index, categories and ``attrs`` of all columns, and each value of a column of Python objects, or of a type from
another package than pandas and numpy. In columns of texts, bytes or bools alone, the first values suffice. The values
of all other columns have one form in Arrow, except NaN in a nullable column: they are not checked. So the check takes
milliseconds, whatever the size of the frame.

Restoring lost properties at reading was rejected: other readers of the file, including pandas' own, would still see it
changed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from metamlflow._looks import type_name
from metamlflow._packages import imported
from metamlflow.errors import InvalidInputError
from metamlflow.tables.reading import as_parquet, conversion_errors, read_arrow, read_pandas, unreadable_errors
from metamlflow.tables.values import same_json, same_value

_GROUP_ROWS = 128 * 1024
_MOST_NAMED = 9
_MOST_PROBLEMS = 50
_SURE = frozenset(
    {"bytes", "boolean", "empty"}
)  # results of pandas' infer_dtype for which all present values have that type
_HINTS = {
    "attrs": "Keep attrs to JSON values: text keys, texts, numbers, lists.",
    "labels": "Make the labels text: frame.columns = [str(label) for label in frame.columns].",
    "names": "Rename them.",
    "column": "Convert them to types that Parquet keeps, such as the one that would come back: frame.infer_objects(), "
    "or frame.astype({name: type}).",
    "type": "Cast them to types that Parquet keeps, such as the one that would come back.",
    "index": "Give the index names and values of one plain type, or make it columns: frame.reset_index().",
}

_PLAIN = (str, bytes, bool, type(None))

Same = Callable[[Any, Any], bool]
Problem = tuple[str, str]
"""Which hint holds, and what would change."""


def frame_as_arrow(frame: Any) -> Any:
    """Return a frame as a ``pyarrow.Table`` that is read back from Parquet as the same frame.

    Raises:
        InvalidInputError: some of it would be changed or lost; the message names all of it.
    """
    try:
        return _converted(frame)
    except RecursionError as error:  # also pandas' own, which copies attrs with each part of a frame
        raise refusal([("attrs", "attrs, or values of a column, are nested too deeply")]) from error


def _converted(frame: Any) -> Any:
    pandas, pa = imported("pandas", "pandas"), imported("pyarrow", "pandas")
    check_names(frame.columns)
    problems = [
        *_attrs_problems(frame.attrs),
        *_label_problems(pandas, pa, frame.columns),
        *_index_name_problems(frame.index.names),
    ]
    plain = frame
    if problems:  # the rest is checked too, so that one error names everything
        plain = frame.copy(deep=False)
        plain.columns, plain.attrs = [f"{place}" for place in range(frame.shape[1])], {}
        plain.index = frame.index.set_names([None] * frame.index.nlevels)
    try:
        table = pa.Table.from_pandas(plain)
    except conversion_errors(pa) as error:
        raise refusal([*problems, *_unconvertible(pa, frame, error)], unstored=True) from error
    changes, cause = _changes(pandas, pa, frame, plain, table)
    if problems := [*problems, *changes]:
        raise refusal(problems) from cause
    return table


def check_names(names: Iterable[Any]) -> None:
    """Check that column names are unique.

    Raises:
        InvalidInputError: two columns have the same name.
    """
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InvalidInputError(f"several columns are called {_some(map(repr, twice))}", hint="Rename them.")


def unstorable(
    pa: Any, parts: Iterable[tuple[Any, Any]], convert: Callable[[Any], Any], hint: str = "column"
) -> list[Problem]:
    """Return the columns for which ``convert`` fails, each with the reason."""
    problems = []
    for name, part in parts:
        try:
            convert(part)
        except unreadable_errors(pa) as reason:
            problems.append((hint, f"column {name!r} cannot be stored as Parquet: {_told(reason)}"))
    return problems


def _told(error: Exception) -> str:
    """Return an error's text; pandas' conversion adds a second argument, with the name that the column has here."""
    return str(error.args[0] if error.args else error)


def refusal(problems: list[Problem], *, unstored: bool = False) -> InvalidInputError:
    """Return the error that names all problems; ``unstored`` means that no file could be written at all."""
    hints = " ".join(dict.fromkeys(_HINTS[kind] for kind, _ in problems))
    told = [text for _, text in problems]
    if len(told) == 1:
        return InvalidInputError(f"{told[0]}; nothing was registered", hint=hints)
    more = f"\n  and {len(told) - _MOST_PROBLEMS} more" if len(told) > _MOST_PROBLEMS else ""
    lines = "\n  ".join(told[:_MOST_PROBLEMS])
    why = "cannot be stored as Parquet" if unstored else "would not come back as it was given"
    return InvalidInputError(f"the table {why}; nothing was registered:\n  {lines}{more}", hint=hints)


# --- what cannot be converted -----------------------------------------------------------------------------------------


def _unconvertible(pa: Any, frame: Any, error: Exception) -> list[Problem]:
    parts = (
        (name, frame.iloc[:, place].reset_index(drop=True).to_frame("column"))  # iloc with a list would copy the values
        for place, name in enumerate(frame.columns)
    )
    found = unstorable(pa, parts, pa.Table.from_pandas)
    return found or [("index", f"the frame's index cannot be stored as Parquet: {error}")]


# --- labels and attrs -------------------------------------------------------------------------------------------------


def _attrs_problems(attrs: dict[Any, Any]) -> Iterator[Problem]:
    for name, value in attrs.items():
        try:
            kept = type(name) is str and same_json(value, json.loads(json.dumps(value)))
        except (ValueError, TypeError, OverflowError, RecursionError):
            kept = False
        if not kept:
            yield "attrs", f"attrs[{name!r:.80}], {type_name(value)}, has no form in JSON that comes back as it was"


def _index_name_problems(names: Iterable[Any]) -> Iterator[Problem]:
    for name in names:
        if name is not None and not isinstance(name, str):  # pyarrow warns, too
            yield "index", f"the index is named {name!r:.80} ({type_name(name)}), and only text comes back as it was"


def _label_problems(pandas: Any, pa: Any, labels: Any) -> list[Problem]:
    """Return the column labels, or names of their levels, that would change."""
    if not len(labels):
        return []
    levels = [labels.get_level_values(level) for level in range(labels.nlevels)]
    if any(level.inferred_type.startswith("mixed") for level in levels):
        # pyarrow converts them to text, with a warning.
        odd = dict.fromkeys(f"{value!r:.80} ({type_name(value)})" for level in levels for value in level)
        return [("labels", f"column labels of mixed types would come back as text: {_some(odd)}")]
    try:
        found = _read_back(pandas, pa.Table.from_pandas(pandas.DataFrame(columns=labels))).columns
    except unreadable_errors(pa) as error:
        kinds = _some(dict.fromkeys(type_name(value) for level in levels for value in level))
        named = "" if labels.names == [None] * labels.nlevels else f", named {list(labels.names)!r:.200},"
        shown = _some(repr(label) for label in labels)
        return [("labels", f"column labels of type {kinds}{named} cannot be read back ({shown}): {error}")]
    return [("labels", text) for text in _label_changes(labels, found, "column label")]


def _label_changes(given: Any, found: Any, what: str) -> list[str]:
    """Return how labels, or categories, were changed."""
    if given.nlevels != found.nlevels or len(given) != len(found):
        return [f"{what}s {_some(map(repr, given))} would come back as {_some(map(repr, found)) or 'none'}"]
    changes = []
    if not same_json(list(given.names), list(found.names)):
        changes.append(f"the names {list(given.names)!r:.200} of the {what}s would come back as {list(found.names)!r}")
    if _types(given) == _types(found) and "object" not in _types(given) and given.equals(found):
        return changes
    pairs = zip(given, found, strict=True)
    odd = [(label, got) for label, got in pairs if not _same_label(label, got)]
    if odd:
        told = _some(f"{label!r:.80} ({type_name(label)}) as {got!r:.80} ({type_name(got)})" for label, got in odd)
        changes.append(f"{what}s would come back changed: {told}")
    elif _types(given) != _types(found):
        changes.append(f"{what}s of type {_some(_types(given))} would come back as {_some(_types(found))}")
    return changes


def _same_label(label: Any, found: Any) -> bool:
    if isinstance(label, tuple) and isinstance(found, tuple):
        return len(label) == len(found) and all(map(_same_label, label, found))
    if isinstance(label, list | tuple) or isinstance(found, list | tuple):
        return type(label) is type(found) and same_value(label, found)
    return same_value(label, found)


def _types(labels: Any) -> list[str]:
    return [str(labels.get_level_values(level).dtype) for level in range(labels.nlevels)]


# --- columns and index ------------------------------------------------------------------------------------------------


def _changes(pandas: Any, pa: Any, frame: Any, plain: Any, table: Any) -> tuple[list[Problem], Exception | None]:
    """Return the columns and parts of the index that would change, and the error raised meanwhile, if any."""
    if len(frame) and not table.num_columns:
        return [("index", f"a frame of {len(frame):,} rows without columns would come back without rows")], None
    index = plain.index
    levels = [index.get_level_values(level) for level in range(index.nlevels)]
    columns = [plain.iloc[:, place] for place in range(plain.shape[1])]
    sample = _sample(pandas, pa, table, [*columns, *levels])
    try:
        found = _read_back(pandas, sample)
    except unreadable_errors(pa) as error:
        return _unreadable(pandas, pa, frame, sample, error), error
    if found.shape[1] != len(columns):
        return [("index", f"the index {index!r:.200} would come back otherwise")], None
    problems: list[Problem] = []
    for place, (name, given) in enumerate(zip(frame.columns, columns, strict=True)):
        if change := _column_change(pandas, given, found.iloc[:, place], table.column(place)):
            problems.append(("column", f"column {name!r}: {change}"))
    problems += [("index", change) for change in _index_changes(pandas, index, levels, found.index, table)]
    return problems, None


def _sample(pandas: Any, pa: Any, table: Any, series: Iterable[Any]) -> Any:
    """Return a few rows of a table that are read back with the types of the whole: with each kind of missing value."""
    places = {0}
    for values in series:
        if values.dtype == object and len(values):
            places |= _extremes(pandas, values)
    rows = [table.slice(place, 1) for place in sorted(places)] if table.num_rows else [table]
    return pa.concat_tables(rows)


def _extremes(pandas: Any, values: Any) -> set[int]:
    """Return the positions of the first missing and the first present value, if any."""
    missing = pandas.isna(values)
    return {int(missing.argmax()), int(missing.argmin())}


def _read_back(pandas: Any, table: Any) -> Any:
    """Return the frame as a reader of the table's file gets it."""
    return read_pandas(pandas, "table.parquet", as_parquet(table), {})


def _unreadable(pandas: Any, pa: Any, frame: Any, sample: Any, error: Exception) -> list[Problem]:
    problems: list[Problem] = []
    for place, name in enumerate(frame.columns):
        try:
            alone = frame.iloc[:0, place].reset_index(drop=True).to_frame("column")
            facts = pa.Table.from_pandas(alone).schema.metadata  # pandas' own description of the column
            part = sample.select([place]).rename_columns(["column"])
            _read_back(pandas, part.replace_schema_metadata(facts))
        except unreadable_errors(pa) as reason:
            told = f"column {name!r} of type {frame.dtypes.iloc[place]} cannot be stored as Parquet: {_told(reason)}"
            problems.append(("column", told))
    return problems or [("index", f"the frame's index cannot be read back from Parquet: {error}")]


def _column_change(pandas: Any, given: Any, found: Any, stored: Any, same: Same = same_value) -> str | None:
    """Return how a column, or a level of the index, would change."""
    if type_change := _type_change(given.dtype, found.dtype):
        return type_change
    if given.dtype == object:
        return _object_change(pandas, given, stored, same)
    if type(given.dtype).__module__.partition(".")[0] not in {"pandas", "numpy"}:
        return _foreign_change(given, stored)
    return _nan_change(pandas, given)


def _object_change(pandas: Any, given: Any, stored: Any, same: Same) -> str | None:
    if not len(given):
        return None
    kind = pandas.api.types.infer_dtype(given, skipna=True)
    if kind == "string" or kind in _SURE:
        rows = getattr(given, "iloc", given)
        first = [rows[place] for place in sorted(_extremes(pandas, given))]
        odd = next((value for value in first if not _is_plain(value, or_nan=kind == "string")), None)
        if odd is None and kind in _SURE:
            odd = next((value for value in given[pandas.isna(given)] if value is not None), None)
        return None if odd is None else f"{odd!r:.80} ({type_name(odd)}) would come back as {_plainer(odd)}"
    return _value_change(given, stored, lambda part: part.to_pandas(), same)


def _foreign_change(given: Any, stored: Any) -> str | None:
    """Return how values of another package's type, which converts them in its own way, would change."""
    pa = imported("pyarrow", "pandas")

    def back(part: Any) -> Any:
        """Return some values of the column as a reader gets them."""
        table = pa.table([part], ["column"])
        return given.dtype.__from_arrow__(read_arrow(pa, "table.parquet", as_parquet(table)).column(0))

    try:
        return _value_change(given, stored, back, same_value)
    except unreadable_errors(pa) as error:  # errors of that package, or of values that cannot be compared
        return f"its values of type {given.dtype} cannot be read back: {error}"


def _value_change(given: Any, stored: Any, back: Callable[[Any], Any], same: Same) -> str | None:
    rows = getattr(given, "iloc", given)
    for start in range(0, len(given), _GROUP_ROWS):
        values, found = rows[start : start + _GROUP_ROWS], back(stored.slice(start, _GROUP_ROWS))
        if len(values) != len(found):
            return f"{len(values):,} values would come back as {len(found):,}"
        for value, got in zip(values, found, strict=True):
            if not same(value, got):
                return f"{value!r:.80} ({type_name(value)}) would come back as {got!r:.80} ({type_name(got)})"
    return None


def _nan_change(pandas: Any, given: Any) -> str | None:
    """Return whether a nullable column holds a NaN that would become NA, as it does from pandas 3 on."""
    if not len(given) or not isinstance(given.dtype, pandas.Float32Dtype | pandas.Float64Dtype):
        return None
    numbers = given.to_numpy(given.dtype.numpy_dtype, na_value=0)
    place = int((numbers != numbers).argmax())  # noqa: PLR0124 (NaN)
    if numbers[place] == numbers[place]:
        return None
    back = given.dtype.__from_arrow__(given.array[place : place + 1].__arrow_array__())
    return "NaN would come back as NA" if back.isna()[0] else None


def _is_plain(value: Any, *, or_nan: bool) -> bool:
    """Return whether a text, a bytes object or a bool is of Python or numpy, and a missing value is None.

    NaN among texts, as in pandas 2, is read back as None, and is accepted.
    """
    if or_nan and isinstance(value, float):
        return True
    return type(value) in _PLAIN or type(value).__module__ == "numpy"


def _plainer(odd: Any) -> str:
    return next((kind.__name__ for kind in (str, bytes) if isinstance(odd, kind)), "None")


def _type_change(given: Any, found: Any) -> str | None:
    categories, other = getattr(given, "categories", None), getattr(found, "categories", None)
    if categories is None or other is None:
        if given == found:
            return None
        before, after = _spelled(given), _spelled(found)
        if before == after:  # zones of two libraries with the same text
            before, after = (f"{before} (a zone of {type_name(getattr(one, 'tz', one))})" for one in (given, found))
        return f"type {before} would come back as {after}"
    if given.ordered != found.ordered:
        return f"ordered={given.ordered} would come back as ordered={found.ordered}"
    changes = _label_changes(categories, other, "category label")
    return "; ".join(changes) or None


def _index_changes(pandas: Any, index: Any, levels: list[Any], found: Any, table: Any) -> Iterator[str]:
    places = json.loads(table.schema.metadata[b"pandas"])["index_columns"]
    if isinstance(index, pandas.RangeIndex) and len(places) == 1 and isinstance(places[0], dict):
        kept = places[0]
        same = (kept["start"], kept["stop"], kept["step"]) == (index.start, index.stop, index.step)
        if not same or not same_json(index.name, kept["name"]):
            yield f"the index {index!r} would come back otherwise"
        return
    if found.nlevels != index.nlevels:
        yield f"the index of {index.nlevels} levels would come back as one of {found.nlevels}"
        return
    if isinstance(index, pandas.MultiIndex) != isinstance(found, pandas.MultiIndex):
        yield "the index, a MultiIndex of one level, would come back as a plain one"
    if not same_json(list(index.names), list(found.names)):
        yield f"the index is named {list(index.names)!r:.200} and would come back as {list(found.names)!r:.200}"
    for level, (values, place) in enumerate(zip(levels, places, strict=True)):
        back = found.get_level_values(level)
        change = _column_change(pandas, values, back, table.column(place), _same_label)
        if not change and index.nlevels > 1:  # whole numbers with a missing one among them are shown as floats
            change = _type_change(index.levels[level].dtype, found.levels[level].dtype)
        if change:
            yield f"the index{f' level {level}' if len(levels) > 1 else ''}: {change}"


def _spelled(dtype: Any) -> str:
    categories = getattr(dtype, "categories", None)
    if categories is not None:
        return f"category (of {categories.dtype})"
    text = str(dtype)
    return f"{text} ({dtype!r})" if text == "string" else text


def _some(parts: Iterable[str]) -> str:
    shown = list(parts)
    more = f" and {len(shown) - _MOST_NAMED} more" if len(shown) > _MOST_NAMED else ""
    return ", ".join(shown[:_MOST_NAMED]) + more
