"""Lineage as a graph: artifacts, the runs between them, and the places outside that data came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamlflow.backend.lakes import shown
from metamlflow.errors import MetaMLFlowError
from metamlflow.store.ancestry import Walked
from metamlflow.store.edges import VersionId
from metamlflow.store.opening import Store
from metamlflow.store.runs import facts_of, load_run
from metamlflow.store.transfer import in_parallel

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Lineage", "Link", "Node"]


@dataclass(frozen=True, slots=True)
class Node:
    """Something in a lineage graph.

    Attributes:
        id: unique in the graph: ``name@version``, ``run:<id>``, or a URI.
        kind: ``artifact``, ``run``, ``source`` (a place outside of the store) or ``missing`` (an artifact that is named
            as an input and cannot be read).
        label: for people.
        facts: what is known of it, as JSON values.
    """

    id: str
    kind: str
    label: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """What leads from one node to another: data flows from ``source`` to ``target``."""

    source: str
    target: str
    role: str | None = None


class Lineage:
    """What a version was made from and what was made from it, as far as it was asked for.

    Printing it shows a tree. Data flows along :attr:`links`; between two artifacts stands the run that made one of the
    other, where one did.
    """

    def __init__(self, store: Store, walked: Walked) -> None:
        self._store = store
        self._walked = walked

    @property
    def start(self) -> str:
        """The version that was asked about, as ``name@version``."""
        return _reference(self._walked.start)

    @property
    def complete(self) -> bool:
        """Whether all of it is here: no input was unreadable, and there were not too many versions."""
        return not self._walked.problems and not self._walked.cut

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Everything in the graph: artifacts, runs, sources outside; each once."""
        found: dict[str, Node] = {}
        for version, loaded in sorted(self._walked.versions.items()):
            manifest = loaded.manifest
            reference = _reference(version)
            facts = {
                "type": manifest.artifact_type,
                "created_at": manifest.created_at.isoformat(),
                "created_by": manifest.created_by,
                "files": manifest.files,
                "size": manifest.size,
                "digest": manifest.digest,
                "manifest_digest": loaded.digest,
                "code": dict(manifest.code or {}),
                "metadata": dict(manifest.metadata),
            }
            found[reference] = Node(reference, "artifact", reference, facts)
            if manifest.run:
                code = dict(manifest.code or {})
                name = str(code.get("run") or manifest.run[:8])
                found.setdefault(_run(manifest.run), Node(_run(manifest.run), "run", name, {"code": code}))
            for place in manifest.pointed:
                found.setdefault(place.uri, Node(place.uri, "source", shown(place.uri), {"kind": place.kind}))
        for version, problem in sorted(self._walked.problems.items()):
            reference = _reference(version)
            found[reference] = Node(reference, "missing", reference, {"problem": problem})
        return tuple(found.values())

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Everything that leads from one node to another, in the direction of the data; each once."""
        found: dict[Link, None] = {}
        for used, consumer in self._walked.links():
            run = self._walked.versions[consumer].manifest.run
            source, target = _reference((used.name, used.version)), _reference(consumer)
            made = self._walked.versions.get((used.name, used.version))
            # What a run made and used itself leads past it, or the data would flow in a circle.
            through = run and not (made and made.manifest.run == run)
            found[Link(source, _run(run) if run and through else target, used.role)] = None
        for version, loaded in sorted(self._walked.versions.items()):
            manifest = loaded.manifest
            for place in manifest.pointed:
                found[Link(place.uri, _reference(version))] = None
            if manifest.run:
                found[Link(_run(manifest.run), _reference(version))] = None
        return tuple(found)

    def run_facts(self) -> dict[str, dict[str, Any]]:
        """Return what is recorded of each run in the graph, by the id of its node: parameters, metrics, notes, outcome.

        A few reads for each run, in parallel; a run whose records cannot be read is left out.
        """
        ids = sorted({node.id.removeprefix("run:") for node in self.nodes if node.kind == "run"})

        def load(run_id: str) -> dict[str, Any]:
            try:
                return facts_of(load_run(self._store, run_id))
            except MetaMLFlowError:
                return {}

        found = zip(ids, in_parallel(load, ids), strict=True)
        return {_run(run_id): facts for run_id, facts in found if facts}

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The versions in it, as ``name@version``, the one that was asked about included."""
        return tuple(node.id for node in self.nodes if node.kind == "artifact")

    def __contains__(self, reference: object) -> bool:
        return any(node.id == str(reference) for node in self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"<Lineage of {self.start}: {len(self.artifacts)} artifacts, {len(self.links)} links>"

    def __str__(self) -> str:
        from metamlflow.lineage_texts import tree

        return tree(self)

    def to_json(self) -> dict[str, Any]:
        """Return the graph as JSON values."""
        return {
            "start": self.start,
            "complete": self.complete,
            "nodes": [
                {"id": node.id, "kind": node.kind, "label": node.label, "facts": node.facts} for node in self.nodes
            ],
            "links": [{"source": link.source, "target": link.target, "role": link.role} for link in self.links],
        }

    def to_mermaid(self) -> str:
        """Return the graph as a Mermaid flowchart, left to right; names and roles are text, whatever they hold."""
        from metamlflow.lineage_texts import mermaid

        return mermaid(self)

    def to_networkx(self) -> nx.MultiDiGraph:
        """Return the graph for networkx (``pip install networkx``), with ``kind``, ``label`` and ``facts`` of nodes.

        Raises:
            MissingDependencyError: networkx is not installed.
        """
        try:
            import networkx as nx
        except ImportError as error:
            from metamlflow.errors import MissingDependencyError

            raise MissingDependencyError(
                "networkx is not installed", hint="Install it with: pip install networkx"
            ) from error
        graph = nx.MultiDiGraph()
        for node in self.nodes:
            graph.add_node(node.id, kind=node.kind, label=node.label, facts=node.facts)
        for link in self.links:
            graph.add_edge(link.source, link.target, role=link.role)
        return graph

    def to_html(self, file: str | Path | None = None) -> str:
        """Return one self-contained page that draws the graph, and write it to ``file`` if one is given.

        It needs no network: whatever draws it is inside. Names, parameters and notes are shown as text, whatever they
        hold.
        """
        from metamlflow.lineage_page import page

        text = page(self)
        if file is not None:
            Path(file).write_text(text, "utf-8")
        return text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/vnd.mermaid": self.to_mermaid()}


def _reference(version: VersionId) -> str:
    return f"{version[0]}@{version[1]}"


def _run(run_id: str) -> str:
    return f"run:{run_id}"
