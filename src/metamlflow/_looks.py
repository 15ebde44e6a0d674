"""Display in one line and in notebooks. Values are shown as escaped text: they add no lines and run no code."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from metamlflow.redaction import printable

_LEFT = "style='text-align:left'"
_WHOLE = "style='text-align:left;white-space:nowrap'"
_WRAPPED = "style='text-align:left;max-width:48em;overflow-wrap:anywhere'"
_MOST_WHOLE = 24  # characters that one line shows at any width: a time, a number with its unit
_MOST_ROWS = 50
_MOST_CHARACTERS = 500
_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
_STEP = 1000


def one_line(text: str, most: int = 60) -> str:
    """Return a text in one line of at most ``most`` characters; characters that are not printable are escaped."""
    shown = printable(text[: 2 * most])
    return shown if len(shown) <= most and len(text) <= 2 * most else f"{shown[: most - 1]}…"


def counted(number: int, what: str) -> str:
    """Return ``1 file``, ``2 files`` and so on."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def bytes_text(size: int) -> str:
    """Return a size in bytes for display: ``1.5 kB``, in steps of 1000."""
    if size < _STEP:
        return counted(size, "byte")
    power = min((len(str(size)) - 1) // 3, len(_UNITS))
    return f"{size / _STEP**power:,.1f} {_UNITS[power - 1]}"


def type_name(value: object) -> str:
    """Return the name of a value's type with its top-level package: ``int``, ``pandas.Timestamp``."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"


def with_article(noun: str) -> str:
    """Return a noun behind its article: ``an int``, ``a dict``."""
    return f"{'an' if noun[:1] in set('aeiou') else 'a'} {noun}"


def minute_text(moment: datetime) -> str:
    """Return a time that is in UTC, rounded down to the minute."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def utc_text(moment: datetime) -> str:
    """Return a time in RFC 3339 format, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def table_of(title: str, facts: Mapping[str, Any]) -> str:
    """Return facts as an HTML table, one per row."""
    rows = "".join(f"<tr><th {_LEFT}>{_text(name)}</th>{_cell(value)}</tr>" for name, value in facts.items())
    return f"<table>{_caption(title)}{rows}</table>"


def grid_of(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return the first 50 rows as an HTML table, and the number of further rows."""
    found = list(rows)
    head = "".join(f"<th {_LEFT}>{_text(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in found[:_MOST_ROWS])
    if len(found) > _MOST_ROWS:
        body += f"<tr><td {_LEFT} colspan='{len(heads)}'>and {len(found) - _MOST_ROWS:,} more</td></tr>"
    return f"<table>{_caption(title)}<tr>{head}</tr>{body}</table>"


def bar_of(text: str, share: float | None) -> str:
    """Return a progress bar in HTML with its text; without a share that is known, a bar that only moves."""
    value = "" if share is None else f" value='{share:.4f}'"
    return f"<div><progress max='1'{value}></progress> {_text(text)}</div>"


def _caption(title: str) -> str:
    return f"<caption {_LEFT}><b>{_text(title)}</b></caption>"


def _cell(value: Any) -> str:
    shown = _text(value)
    is_short = len(shown) <= _MOST_WHOLE and len(shown.splitlines()) <= 1
    return f"<td {_WHOLE if is_short else _WRAPPED}>{shown}</td>"


def _text(value: Any) -> str:
    text = str(value)
    shown = printable(text[:_MOST_CHARACTERS], keep="\n\t")
    return html.escape(f"{shown}…" if len(text) > _MOST_CHARACTERS else shown)
