"""The plot of a run: for each job the wall seconds of every tool as bars, in SVG written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

from jobs.figures import Results
from jobs.page import MAIN, titles

WIDTH = 860
NAME_WIDTH = 110
BAR_WIDTH = 620
BAR = 16
ROW = 20
HEAD = 30
GAP = 16
OURS, OTHERS = "#1f6feb", "#9aa4b2"
STYLE = "text{font:13px sans-serif;fill:#1f2328}.head{font-weight:bold}.quiet{fill:#59636e}"


def draw(document: dict[str, Any]) -> str:
    """Return the plot. The bars of a job are to one scale, that of its slowest tool; jobs have scales of their own."""
    results, top = Results(document), GAP
    shapes: list[str] = []
    for job, title in titles(document).items():
        for latency in results.latencies(job) if job in MAIN else ():
            more = f", each answer {latency} ms later" if latency else ""
            shapes += _panel(results, job, latency, f"{job}: {title}{more}", top)
            top += HEAD + ROW * len(_bars(results, job, latency)) + GAP
    note = f"wall seconds, the least of {document['rounds_done']} round(s); a shorter bar is better"
    shapes.append(f'<text class="quiet" x="{GAP}" y="{top + 8}">{note}</text>')
    height = top + HEAD
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">\n'
        f"<style>{STYLE}</style>\n"
        # A ground of its own, so that it can be read on a dark page too.
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )


def _bars(results: Results, job: str, latency: int) -> dict[str, float]:
    found = {tool: results.of(tool, job, latency) for tool in results.tools}
    return {tool: figures.wall.least for tool, figures in found.items() if figures}


def _panel(results: Results, job: str, latency: int, title: str, top: int) -> Iterator[str]:
    yield f'<text class="head" x="{GAP}" y="{top + 14}">{escape(title)}</text>'
    bars = _bars(results, job, latency)
    for number, (tool, seconds) in enumerate(bars.items()):
        y = top + HEAD - 6 + number * ROW
        width = max(1.0, BAR_WIDTH * seconds / max(bars.values()))
        colour = OURS if tool == results.ours else OTHERS
        yield f'<text x="{NAME_WIDTH - 8}" y="{y + 13}" text-anchor="end">{escape(tool)}</text>'
        yield f'<rect x="{NAME_WIDTH}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'
        yield f'<text x="{NAME_WIDTH + width + 6:.1f}" y="{y + 13}">{seconds:.2f}</text>'
