"""The differences between two versions one after the other, for texts, tables and pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from metamlflow._looks import bytes_text, counted, one_line
from metamlflow.model.manifests import EmptyFolder, Item
from metamlflow.redaction import redact
from metamlflow.store.diff.differences import Differences
from metamlflow.store.diff.files import ChangedFile
from metamlflow.store.diff.metadata import ValuesDiff
from metamlflow.store.diff.parts import plain

DiffChange = Literal["added", "removed", "changed", "renamed", "note"]
SIGNS: dict[DiffChange, str] = {"added": "+", "removed": "-", "changed": "~", "renamed": ">", "note": " "}
_WIDTH, _INDENT = 80, 6


@dataclass(frozen=True, slots=True)
class Line:
    """One difference.

    Attributes:
        section: ``version``, ``files``, ``schema``, ``metadata``, ``inputs`` or ``rows``.
        change: what happened; a ``note`` is a sentence in ``after``.
        name: of the file, column or value.
        before: what it was, in words; empty if there was nothing.
        after: what it is.
    """

    section: str
    change: DiffChange
    name: str
    before: str = ""
    after: str = ""


def lines_of(diff: Differences, most: int | None = None) -> Iterator[Line]:
    """Yield the differences, section by section: of the files the first ``most`` of each kind (None: all)."""
    for fact in diff.facts:
        texts = [_fact(fact.name, value) for value in (fact.before, fact.after)]
        yield Line("version", "changed", fact.name, *texts)
    yield from _files(diff, most)
    yield from _schema(diff)
    yield from _values("metadata", diff.metadata)
    yield from _values("inputs", diff.inputs)
    if diff.rows is not None:
        rows = diff.rows
        keyed = f" by {', '.join(one_line(key) for key in rows.keys)}" if rows.keys else ""
        numbers = (f"{getattr(rows, name):,} {name}" for name in ("added", "removed", "changed", "unchanged"))
        counts = f"{rows.before:,} rows before, {rows.after:,} after"
        for text in (counts, f"{', '.join(numbers)}{keyed}", *rows.notes):
            yield Line("rows", "note", "", "", text)


def _fact(name: str, value: Any) -> str:
    if name == "size":
        return bytes_text(value)
    if name == "points to":
        return ", ".join(redact(place["uri"]) for place in value) or "nothing"
    return str(value)


def _files(diff: Differences, most: int | None) -> Iterator[Line]:
    files = diff.files
    for item in islice(files.added, most):
        yield Line("files", "added", item.path, "", _size(item))
    for item in islice(files.removed, most):
        yield Line("files", "removed", item.path, _size(item))
    for change in islice(files.modified, most):
        yield Line("files", "changed", change.path, *_apart(change))
    for change in islice(files.renamed, most):
        yield Line("files", "renamed", change.path, change.before.path, change.path)
    for what, count in files.counts.items():
        if most is not None and count > most:
            yield Line("files", "note", "", "", f"{count - most:,} more {what}")


def _size(item: Item) -> str:
    return "an empty folder" if isinstance(item, EmptyFolder) else bytes_text(item.size)


def _apart(change: ChangedFile) -> tuple[str, str]:
    """Return both sides of a change in words that differ."""
    before, after = change.before, change.after
    if change.what == "place":
        places = ["in the store" if item.uri is None else redact(item.uri) for item in (before, after)]
        return places[0], places[1]
    if change.what == "executable":
        names = {True: "executable", False: "not executable"}
        return names[not isinstance(before, EmptyFolder) and before.executable], names[
            not isinstance(after, EmptyFolder) and after.executable
        ]
    sizes = _size(before), _size(after)
    return sizes if sizes[0] != sizes[1] else (sizes[0], f"{sizes[1]}, other content")


def _schema(diff: Differences) -> Iterator[Line]:
    schema = diff.schema
    for column in schema.added:
        yield Line("schema", "added", column.name, "", str(column))
    for column in schema.removed:
        yield Line("schema", "removed", column.name, str(column))
    for change in schema.changed:
        yield Line("schema", "changed", change.name, str(change.before), str(change.after))
    if schema.format:
        yield Line("schema", "changed", "format", *schema.format)
    notes = {
        "the columns stand in another order": schema.reordered,
        f"no schema was captured of {diff.before if schema.unknown == 'before' else diff.after}": schema.unknown,
        "some columns were left out when a schema was captured": schema and schema.incomplete,
        "some types were inferred from the beginning of a file": schema.changed and schema.inferred,
    }
    for text, holds in notes.items():
        if holds:
            yield Line("schema", "note", "", "", text)


def _values(section: str, values: ValuesDiff) -> Iterator[Line]:
    for one in values.added:
        yield Line(section, "added", one.name, "", _value(section, one.value))
    for one in values.removed:
        yield Line(section, "removed", one.name, _value(section, one.value))
    for change in values.changed:
        yield Line(section, "changed", change.name, _value(section, change.before), _value(section, change.after))


def _value(section: str, value: Any) -> str:
    return str(value) if section == "inputs" else json.dumps(plain(value), ensure_ascii=False)


def text_lines(diff: Differences, most: int) -> Iterator[str]:
    """Yield a text for people in lines of 80 columns; only a name may be longer."""
    yield f"{diff.before} -> {diff.after}{f' in {one_line(diff.elsewhere)}' if diff.elsewhere else ''}"
    section, shown = "", 0
    if not diff:
        yield "no differences"
    for line in lines_of(diff, most):
        if line.section != section:
            section, shown = line.section, 0
            yield f"{section}"
        shown += 1
        if shown == most + 1 and section not in {"files", "rows"}:
            yield "    and more"
        if shown <= most or section in {"files", "rows"}:
            yield from _wrapped(line)


def _wrapped(line: Line) -> Iterator[str]:
    room = _WIDTH - _INDENT
    if line.change == "note":
        yield f"    {one_line(line.after, room)}"
        return
    name = one_line(line.before if line.change == "renamed" else line.name, 4_096)
    told = f"-> {one_line(line.after, room)}" if line.change == "renamed" else _told(line, room)
    first = f"  {SIGNS[line.change]} {name}"
    if len(first) + 2 + len(told) <= _WIDTH:
        yield f"{first}  {told}".rstrip()
    else:
        yield first
        yield " " * _INDENT + one_line(told, room)


def _told(line: Line, room: int) -> str:
    if line.change != "changed":
        return one_line(line.before or line.after, room)
    half = (room - 4) // 2
    if line.section == "version" and line.name == "digest":
        half = len("sha256:") + 12
        return f"{line.before[:half]}… -> {line.after[:half]}…"
    before, after = one_line(line.before, room), one_line(line.after, room)
    if len(before) + len(after) + 4 > room:
        # The shorter of the two gets all it takes.
        before = one_line(line.before, max(half, room - 4 - len(after)))
        after = one_line(line.after, room - 4 - len(before))
    return f"{before} -> {after}"


def verdict(counts: dict[str, int]) -> str:
    """Return the numbers of differences in one line."""
    return ", ".join(counted(count, what) for what, count in counts.items() if count) or "no differences"
