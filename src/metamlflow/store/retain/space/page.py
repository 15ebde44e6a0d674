"""The space of a store as one page of HTML: drawn here, without a script, and nothing is loaded from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from math import ceil, log10

from metamlflow._looks import bytes_text, counted
from metamlflow.redaction import printable
from metamlflow.store.retain.space.figures import Growth, NameUsage

_WIDE, _NARROW = 860, 340
_BARS, _ROWS = 25, 1_000
_SHOWN_CHARACTERS = 60
_MOST_POINTS = 400

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Space of {title}</title>
<style>{css}</style>
</head>
<body>
<main>
<h1>Space of {title}</h1>
<ul class="totals">{totals}</ul>
{warning}
<section><h2>Growth</h2>{growth}</section>
<section><h2>By name</h2>{bars}</section>
<section><h2>All names</h2><div class="scroll"><table>{table}</table></div></section>
</main>
</body>
</html>
"""
_CSS = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5a6675; --line: #d8dee6; --paper: #fff; --card: #f4f6f9;
  --own: #2f6fde; --shared: #8fb4f5; --pruned: #d98a1f; --warn: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf3; --soft: #a3afbd; --line: #38424e; --paper: #14181d;
  --card: #1e242b; --own: #6ea4ff; --shared: #37568c; --pruned: #e5a54b; --warn: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 920px; margin: 0 auto; padding: 1.25rem 1rem 3rem; }
h1 { font-size: 1.35rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.totals { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .5rem; padding: 0;
  margin: 1rem 0; }
.totals li { list-style: none; background: var(--card); border-radius: .5rem; padding: .6rem .75rem; }
.totals b { display: block; font-size: 1.15rem; } .totals span { color: var(--soft); font-size: .85rem; }
.warning { color: var(--warn); }
svg { display: block; width: 100%; height: auto; } svg.narrow { display: none; }
@media (max-width: 600px) { svg.wide { display: none; } svg.narrow { display: block; } }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; } svg .soft { fill: var(--soft); font-size: 12px; }
.grid { stroke: var(--line); } .area { fill: var(--own); fill-opacity: .18; }
.stored { fill: none; stroke: var(--own); stroke-width: 2; }
.registered { fill: none; stroke: var(--pruned); stroke-width: 2; stroke-dasharray: 6 4; }
.own { fill: var(--own); } .shared { fill: var(--shared); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
"""


def page(
    title: str,
    totals: Iterable[tuple[str, str]],
    growth: Sequence[Growth],
    names: Sequence[NameUsage],
    warning: str = "",
) -> str:
    """Return the page.

    Args:
        title: the URI of the store.
        totals: each a value and what it is of.
        growth: day by day.
        names: the largest first.
        warning: why the figures are not exact; empty if they are.
    """
    note = f'<p class="warning">{_text(warning)} <code>metamlflow fsck</code> says more.</p>' if warning else ""
    return _PAGE.format(
        title=_text(title, 400),
        css=_CSS,
        totals="".join(f"<li><b>{_text(value)}</b><span>{_text(label)}</span></li>" for value, label in totals),
        warning=note,
        growth="".join(_growth(growth, width) for width in (_WIDE, _NARROW)),
        bars="".join(_bars(names, width) for width in (_WIDE, _NARROW)),
        table="".join(_table(names)),
    )


def _svg(width: int, height: float, label: str, parts: Iterable[str]) -> str:
    kind = "wide" if width == _WIDE else "narrow"
    body = "".join(parts)
    return f'<svg class="{kind}" viewBox="0 0 {width} {height:g}" role="img" aria-label="{_text(label)}">{body}</svg>'


# --- growth -----------------------------------------------------------------------------------------------------------


def _growth(growth: Sequence[Growth], width: int) -> str:
    if not growth:
        return "" if width == _NARROW else "<p>Nothing was registered yet.</p>"
    points = list(_thinned(growth))
    left, top, height = 64.0, 30.0, 250.0
    right, bottom = width - 12.0, top + height - 60
    first, last = points[0].day, points[-1].day
    if first == last and first > date.min:
        first -= timedelta(days=1)
        points.insert(0, Growth(first, 0, 0))
    elif first == last:  # no day is before it
        last += timedelta(days=1)
        points.append(Growth(last, points[0].registered, points[0].stored))
    most = _round_up(max(max(point.registered, point.stored) for point in points))

    def x(day: date) -> float:
        return left + (right - left) * (day - first).days / (last - first).days

    def y(size: float) -> float:
        return bottom - (bottom - top) * size / most

    stored = _steps([(x(point.day), y(point.stored)) for point in points])
    registered = _steps([(x(point.day), y(point.registered)) for point in points])
    parts = [*_grid(most, y, left, right)]
    parts.append(f'<path class="area" d="{stored} L{right:.1f},{bottom:.1f} L{left:.1f},{bottom:.1f} Z"/>')
    parts.append(f'<path class="stored" d="{stored}"/><path class="registered" d="{registered}"/>')
    parts.append(f'<text class="soft" x="{left:g}" y="{bottom + 18:g}">{first.isoformat()}</text>')
    parts.append(f'<text class="soft" x="{right:g}" y="{bottom + 18:g}" text-anchor="end">{last.isoformat()}</text>')
    parts.append(f'<rect class="own" x="{left:g}" y="{bottom + 30:g}" width="18" height="4"/>')
    parts.append(f'<text x="{left + 24:g}" y="{bottom + 37:g}">stored</text>')
    parts.append(f'<path class="registered" d="M{left + 90:g},{bottom + 32:g} h18"/>')
    parts.append(f'<text x="{left + 114:g}" y="{bottom + 37:g}">registered</text>')
    told = f"Stored and registered bytes from {first} to {last}: {bytes_text(points[-1].stored)} stored at the end"
    return _svg(width, top + height - 10, told, parts)


def _grid(most: float, y: Callable[[float], float], left: float, right: float) -> Iterator[str]:
    for part in range(5):
        size = most * part / 4
        yield f'<path class="grid" d="M{left:g},{y(size):.1f} H{right:g}"/>'
        yield (
            f'<text class="soft" x="{left - 8:g}" y="{y(size) + 4:.1f}" text-anchor="end">'
            f"{_text(bytes_text(round(size)))}</text>"
        )


def _thinned(growth: Sequence[Growth]) -> Iterator[Growth]:
    """Yield at most a few hundred days, evenly, and the last one."""
    step = ceil(len(growth) / _MOST_POINTS)
    yield from growth[::step]
    if (len(growth) - 1) % step:
        yield growth[-1]


def _steps(points: Sequence[tuple[float, float]]) -> str:
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    return path + "".join(f" H{x:.1f} V{y:.1f}" for x, y in points[1:])


def _round_up(size: int) -> float:
    """Return a round number that is not below a size, so that the lines of the grid have short labels."""
    if size <= 0:
        return 4.0
    power = 10.0 ** int(log10(size))
    return next(power * step for step in (1, 2, 4, 6, 8, 10, 20) if power * step >= size)


# --- names ------------------------------------------------------------------------------------------------------------


def _bars(names: Sequence[NameUsage], width: int) -> str:
    shown = [name for name in names[:_BARS] if name.bytes]
    if not shown:
        return "" if width == _NARROW else "<p>No version has content in this store.</p>"
    most, row, top = max(name.bytes for name in shown), 40.0, 24.0
    scale = (width - 12.0) / most
    parts = [
        '<rect class="own" x="0" y="4" width="12" height="12"/><text x="18" y="15">its own</text>',
        '<rect class="shared" x="90" y="4" width="12" height="12"/><text x="108" y="15">shared with others</text>',
    ]
    letters = int((width - 110) / 7.2)
    for place, name in enumerate(shown):
        y = top + place * row
        own = name.own * scale
        parts.append(f'<text x="0" y="{y + 16:g}">{_text(name.name, min(letters, _SHOWN_CHARACTERS))}</text>')
        size = _text(bytes_text(name.bytes))
        parts.append(f'<text class="soft" x="{width - 4:g}" y="{y + 16:g}" text-anchor="end">{size}</text>')
        parts.append(f'<rect class="own" x="0" y="{y + 22:g}" width="{max(own, 1):.1f}" height="10" rx="2"/>')
        parts.append(
            f'<rect class="shared" x="{own:.1f}" y="{y + 22:g}" width="{name.shared * scale:.1f}" height="10" rx="2"/>'
        )
    if len(names) > len(shown):
        y = top + len(shown) * row
        parts.append(f'<text class="soft" x="0" y="{y + 16:g}">and {len(names) - len(shown):,} more</text>')
    return _svg(width, top + (len(shown) + 1) * row - 10, f"Bytes of {counted(len(shown), 'name')}", parts)


def _table(names: Sequence[NameUsage]) -> Iterator[str]:
    heads = ("name", "versions", "live", "bytes", "own", "shared", "elsewhere")
    yield f"<tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>"
    for name in names[:_ROWS]:
        sizes = (bytes_text(size) for size in (name.bytes, name.own, name.shared, name.pointed))
        cells = (_text(name.name, 400), f"{name.versions:,}", f"{name.live:,}", *map(_text, sizes))
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    if len(names) > _ROWS:
        yield f'<tr><td colspan="{len(heads)}">and {len(names) - _ROWS:,} more: <code>--json</code> has all</td></tr>'


def _text(text: str, most: int = 200) -> str:
    """Return a text for a page, escaped and cut."""
    shown = printable(text[:most])
    return html.escape(f"{shown}…" if len(text) > most else shown)
