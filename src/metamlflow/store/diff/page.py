"""The differences between two versions as one page of HTML, without a script, and nothing is loaded from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable
from itertools import groupby

from metamlflow.redaction import printable
from metamlflow.store.diff.differences import Differences
from metamlflow.store.diff.lines import SIGNS, Line, lines_of

_SHOWN_CHARACTERS, _ROWS = 500, 5_000
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<main>
<h1>{heading}</h1>
{place}{sections}
</main>
</body>
</html>
"""
_CSS = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5a6675; --line: #d8dee6; --paper: #fff;
  --added: #10703a; --removed: #b3261e; --changed: #8a5a00; --renamed: #2458b8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf3; --soft: #a3afbd; --line: #38424e; --paper: #14181d;
  --added: #6fcf97; --removed: #ff8a80; --changed: #e5b55a; --renamed: #8fb4f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 1.25rem 1rem 3rem; }
h1 { font-size: 1.35rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 1.75rem 0 .4rem; }
.soft, th { color: var(--soft); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; table-layout: fixed; width: 100%; min-width: 38rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 500; font-size: .85rem; } td { overflow-wrap: anywhere; }
th:first-child { width: 7.5rem; } th:nth-child(2) { width: 36%; }
@media (max-width: 40rem) { table { min-width: 0; } th, td { padding: .3rem .25rem; }
  th:first-child { width: 5.75rem; } th:nth-child(2) { width: 28%; } }
.added { color: var(--added); } .removed { color: var(--removed); } .changed { color: var(--changed); }
.renamed { color: var(--renamed); }
"""


def page(diff: Differences, files: int) -> str:
    """Return the page, with so many files of each kind."""
    sections = groupby(lines_of(diff, files), key=lambda line: line.section)
    found = "".join(_section(name, lines) for name, lines in sections)
    heading = f"{_text(diff.before)} \N{RIGHTWARDS ARROW} {_text(diff.after)}"
    return _PAGE.format(
        title=f"Differences: {heading}",
        css=_CSS,
        heading=heading,
        place=f'<p class="soft">The second is in {_text(diff.elsewhere)}</p>\n' if diff.elsewhere else "",
        sections=found or "<p>No differences.</p>",
    )


def _section(name: str, lines: Iterable[Line]) -> str:
    rows: list[str] = []
    notes: list[str] = []
    for line in lines:
        if line.change == "note":
            notes.append(f'<p class="soft">{_text(line.after)}</p>')
        elif len(rows) < _ROWS:
            cells = "".join(f"<td>{_text(text)}</td>" for text in (line.name, line.before, line.after))
            rows.append(f'<tr><td class="{line.change}">{SIGNS[line.change]} {line.change}</td>{cells}</tr>')
        elif len(rows) == _ROWS:
            rows.append('<tr><td colspan="4">and more</td></tr>')
    head = "<tr><th>change</th><th>name</th><th>before</th><th>after</th></tr>"
    table = f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>' if rows else ""
    return f"<section><h2>{name.capitalize()}</h2>{table}{''.join(notes)}</section>"


def _text(text: str) -> str:
    shown = printable(text[:_SHOWN_CHARACTERS])
    return html.escape(f"{shown}…" if len(text) > _SHOWN_CHARACTERS else shown)
