"""A lineage graph as text: a tree for the terminal, and Mermaid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from metamlflow.lineage.elements import Graph, Node
from metamlflow.redaction import printable

_SHAPES = {"artifact": ("[", "]"), "run": ("([", "])"), "source": ("[(", ")]"), "missing": ("{{", "}}")}
_MOST_LABEL = 160
_WIDEST = 240  # the most characters of indentation


def _plain(text: str) -> str:
    """Return text without control characters, so that a name cannot add lines; the middle of a long text is omitted."""
    shown = printable(text)
    return shown if len(shown) <= _MOST_LABEL else f"{shown[: _MOST_LABEL // 2]}…{shown[-_MOST_LABEL // 2 :]}"


def tree(lineage: Graph, given_up: Mapping[str, str]) -> str:
    """Return a tree of the version's sources and one of its consumers, each node once in full.

    Args:
        lineage: the graph.
        given_up: the nodes that are ``pruned`` or ``erased``.
    """
    sources, targets = defaultdict(list), defaultdict(list)
    for link in lineage.links:
        sources[link.target].append((link.source, link.role))
        targets[link.source].append((link.target, link.role))
    labels = {node.id: _label(node, given_up.get(node.id)) for node in lineage.nodes}
    lines = [labels[lineage.start]]
    if sources[lineage.start]:
        lines.append("made from")
        lines += _branches(lineage.start, sources, labels)
    if targets[lineage.start]:
        lines.append("used for")
        lines += _branches(lineage.start, targets, labels)
    if not lineage.complete:
        lines.append("(not complete: something could not be read, or there is too much)")
    return "\n".join(lines)


def _label(node: Node, given_up: str | None) -> str:
    if node.kind == "artifact":
        return f"{_plain(node.label)}  ({_plain(str(node.facts['type']))}{', ' + given_up if given_up else ''})"
    if given_up:
        return f"{given_up}: {_plain(node.label)}"
    words = {"run": "run ", "source": "", "missing": "missing: "}
    return words[node.kind] + _plain(node.label)


def _branches(start: str, neighbours: dict[str, list[tuple[str, str | None]]], labels: dict[str, str]) -> list[str]:
    """Return the lines below ``start``, without recursion, since a chain may be longer than Python's stack."""
    lines: list[str] = []
    seen = {start}
    waiting = [(child, role, "", last) for (child, role), last in _with_last(neighbours[start])][::-1]
    while waiting:
        node, role, indent, last = waiting.pop()
        again = node in seen
        more = " …" if again and neighbours[node] else ""
        as_role = f"  as {_plain(role)}" if role else ""
        lines.append(f"{indent}{'└─ ' if last else '├─ '}{labels[node]}{as_role}{more}")
        if again:
            continue
        seen.add(node)
        # Indentation is limited: three characters for each step of a chain of thousands would be megabytes.
        deeper = indent + ("   " if last else "│  ") if len(indent) < _WIDEST else indent
        waiting += [(child, role, deeper, end) for (child, role), end in _with_last(neighbours[node])][::-1]
    return lines


def _with_last(
    items: list[tuple[str, str | None]],
) -> list[tuple[tuple[str, str | None], bool]]:
    return [(item, number == len(items)) for number, item in enumerate(items, start=1)]


def mermaid(lineage: Graph) -> str:
    """Return a Mermaid flowchart, left to right."""
    ids = {node.id: f"n{number}" for number, node in enumerate(lineage.nodes)}
    lines = ["flowchart LR"]
    for node in lineage.nodes:
        opening, closing = _SHAPES[node.kind]
        lines.append(f'  {ids[node.id]}{opening}"{_escaped(node.label)}"{closing}')
    for link in lineage.links:
        arrow = f'-- "{_escaped(link.role)}" -->' if link.role else "-->"
        lines.append(f"  {ids[link.source]} {arrow} {ids[link.target]}")
    lines.append(f"  style {ids[lineage.start]} stroke-width:3px")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Return text for quotation marks in Mermaid: characters with a meaning there become character codes."""
    return "".join(char if char.isalnum() or char in " ._-/@:+=*" else f"#{ord(char)};" for char in _plain(text))
