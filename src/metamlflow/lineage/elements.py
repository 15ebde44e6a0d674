"""The elements of a lineage graph, and the protocol that its page and its texts need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from metamlflow._looks import one_line


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a lineage graph.

    Attributes:
        id: unique in the graph: ``name@version``, ``run:<id>`` (followed by ``#2`` and so on if a run made versions
            from different inputs), or a URI.
        kind: ``artifact``, ``run``, ``source`` (a place outside of the store) or ``missing`` (an input whose manifest
            cannot be read).
        label: a text for people.
        facts: the facts about it, as JSON values.
    """

    id: str
    kind: str
    label: str
    facts: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Node {self.kind} '{one_line(self.label)}'>"


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two nodes: data flows from ``source`` to ``target``."""

    source: str
    target: str
    role: str | None = None


class Graph(Protocol):
    """A graph that can be drawn; :class:`~metamlflow.lineage.Lineage` is the implementation."""

    @property
    def start(self) -> str:
        """The requested node."""

    @property
    def complete(self) -> bool:
        """Whether the graph is complete."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes."""

    @property
    def links(self) -> tuple[Link, ...]:
        """All links."""

    def run_facts(self) -> dict[str, dict[str, Any]]:
        """Return the recorded facts of each run, by the id of its node."""

    def alias_facts(self) -> dict[str, tuple[str, ...]]:
        """Return the aliases of versions that have some, by the id of the version's node."""

    def to_json(self) -> dict[str, Any]:
        """Return the graph as JSON values."""
