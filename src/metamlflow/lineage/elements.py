"""What a lineage graph is made of, and what its page and its texts need to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from metamlflow._looks import one_line


@dataclass(frozen=True, slots=True)
class Node:
    """Something in a lineage graph.

    Attributes:
        id: unique in the graph: ``name@version``, ``run:<id>`` (``#2`` and so on behind it, where a run made versions
            from different inputs), or a URI.
        kind: ``artifact``, ``run``, ``source`` (a place outside of the store) or ``missing`` (an artifact that is named
            as an input and cannot be read).
        label: for people.
        facts: what is known of it, as JSON values.
    """

    id: str
    kind: str
    label: str
    facts: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Node {self.kind} '{one_line(self.label)}'>"


@dataclass(frozen=True, slots=True)
class Link:
    """What leads from one node to another: data flows from ``source`` to ``target``."""

    source: str
    target: str
    role: str | None = None


class Graph(Protocol):
    """A graph that can be drawn; see :class:`~metamlflow.lineage.Lineage`, which is the one."""

    @property
    def start(self) -> str:
        """The node that was asked about."""

    @property
    def complete(self) -> bool:
        """Whether all of it is here."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Everything in it."""

    @property
    def links(self) -> tuple[Link, ...]:
        """Everything that leads from one node to another."""

    def run_facts(self) -> dict[str, dict[str, Any]]:
        """Return what is recorded of each run, by the id of its node."""

    def to_json(self) -> dict[str, Any]:
        """Return the graph as JSON values."""
