"""The graph itself: artifacts, the runs between them, and the external places that data came from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamlflow.backend.external import shown
from metamlflow.errors import DamagedRecordWarning, MetaMLFlowError
from metamlflow.lineage.elements import Link, Node
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.aliases import aliases_for, aliases_of
from metamlflow.store.catalog.statuses import is_live, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.edges import VersionId
from metamlflow.store.lineage.runs import facts_of, load_run
from metamlflow.store.lineage.walk import Subgraph
from metamlflow.store.transfer.scheduler import in_parallel

if TYPE_CHECKING:
    import networkx as nx


class Lineage:
    """The graph of the versions that a version was made from and of those made from it, as far as requested.

    Printing it shows a tree, and looks which versions are pruned or erased now. Data flows along :attr:`links`; if a
    run made one artifact from another, the run's node is between them.
    """

    def __init__(self, store: Store, walked: Subgraph) -> None:
        self._store = store
        self._walked = walked

    @property
    def start(self) -> str:
        """The requested version, as ``name@version``."""
        return _reference(self._walked.start)

    @property
    def complete(self) -> bool:
        """Whether every input and every consumer could be read, and there were not too many versions."""
        return not self._walked.problems and not self._walked.cut

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes of the graph: artifacts, runs, external sources; each once."""
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
                node = self._run_nodes[version]
                found.setdefault(node, Node(node, "run", name, {"code": code}))
            for place in manifest.pointed:
                found.setdefault(place.uri, Node(place.uri, "source", shown(place.uri), {"kind": place.kind}))
        for version, problem in sorted(self._walked.problems.items()):
            reference = _reference(version)
            found[reference] = Node(reference, "missing", reference, {"problem": problem})
        return tuple(found.values())

    @cached_property
    def _run_nodes(self) -> dict[VersionId, str]:
        """Return the node of the run that made each version.

        A run has one node for each set of inputs of its versions. With a single node, early outputs would seem to come
        from later inputs, and runs that use one another's results would form a cycle.
        """
        nodes: dict[tuple[str, tuple[VersionId, ...]], str] = {}
        counts: dict[str, int] = {}
        found = {}
        for version, loaded in sorted(self._walked.versions.items()):
            manifest = loaded.manifest
            if manifest.run is None:
                continue
            place = manifest.run, tuple(sorted((used.name, used.version) for used in manifest.inputs))
            if place not in nodes:
                counts[manifest.run] = number = counts.get(manifest.run, 0) + 1
                nodes[place] = f"run:{manifest.run}" + (f"#{number}" if number > 1 else "")
            found[version] = nodes[place]
        return found

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """All links between nodes, in the direction of the data; each once."""
        found: dict[Link, None] = {}
        for used, consumer in self._walked.links():
            source, target = _reference((used.name, used.version)), _reference(consumer)
            found[Link(source, self._run_nodes.get(consumer, target), used.role)] = None
        for version, loaded in sorted(self._walked.versions.items()):
            manifest = loaded.manifest
            for place in manifest.pointed:
                found[Link(place.uri, _reference(version))] = None
            if manifest.run:
                found[Link(self._run_nodes[version], _reference(version))] = None
        return tuple(found)

    def run_facts(self) -> dict[str, dict[str, Any]]:
        """Return the record of each run in the graph, by the id of its node: parameters, metrics, notes, outcome.

        Costs a few reads for each run, in parallel. A run whose records cannot be read has the reason as its only fact,
        ``problem``, and a :class:`DamagedRecordWarning` says so. A run that the store does not have is omitted.
        """
        of_node = {node.id: node.id.removeprefix("run:").partition("#")[0] for node in self.nodes if node.kind == "run"}
        ids = sorted(set(of_node.values()))

        def load(run_id: str) -> dict[str, Any]:
            try:
                return facts_of(load_run(self._store, run_id))
            except MetaMLFlowError as error:
                return {"problem": error.message}

        found = dict(zip(ids, in_parallel(load, ids), strict=True))
        for run_id, facts in found.items():
            if "problem" in facts:
                warnings.warn(f"run {run_id} cannot be read: {facts['problem']}", DamagedRecordWarning, stacklevel=2)
        return {node: found[run_id] for node, run_id in of_node.items() if found[run_id]}

    def alias_facts(self) -> dict[str, tuple[str, ...]]:
        """Return the aliases of those versions in the graph that have some now, by ``name@version``.

        Costs a listing for each name in the graph, and a read of each alias, in parallel. Aliases that cannot be read
        are left out with a :class:`DamagedRecordWarning`.
        """

        def load(name: ArtifactName) -> dict[str, int] | MetaMLFlowError:
            try:
                return aliases_of(self._store, name, leniently=True)
            except MetaMLFlowError as error:
                return error

        names = sorted({loaded.manifest.name for loaded in self._walked.versions.values()})
        known = {}
        for name, found in zip(names, in_parallel(load, names), strict=True):
            if isinstance(found, MetaMLFlowError):
                warnings.warn(f"aliases of {name}: {found.message}", DamagedRecordWarning, stacklevel=2)
            else:
                known[str(name)] = found
        facts = {
            _reference(version): aliases_for(known.get(str(version[0]), {}), version[1])
            for version in self._walked.versions
        }
        return {reference: aliases for reference, aliases in sorted(facts.items()) if aliases}

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The versions in the graph, as ``name@version``, including the requested one."""
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
        from metamlflow.lineage.text import tree

        return tree(self, self._given_up())

    def _given_up(self) -> dict[str, str]:
        """Return which versions are pruned or erased now; of those that cannot be looked at, nothing is said."""

        def look(version: VersionId) -> str:
            try:
                status = version_status(self._store, *version)
                live = status.erased or is_live(self._store, version[0], status)
            except MetaMLFlowError:
                return ""
            return "erased" if status.erased else "" if live else "pruned"

        versions = sorted({*self._walked.versions, *self._walked.problems})
        found = zip(versions, in_parallel(look, versions), strict=True)
        return {_reference(version): what for version, what in found if what}

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
        """Return the graph as a Mermaid flowchart, left to right; names and roles are escaped."""
        from metamlflow.lineage.text import mermaid

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

        It needs no network, since it contains the library that draws it. Names, parameters and notes are shown as plain
        text. Costs what :meth:`run_facts` and :meth:`alias_facts` cost. If the file cannot be written, Python's own
        OSError is raised.
        """
        from metamlflow.lineage.page import page

        text = page(self)
        if file is not None:
            Path(file).write_text(text, "utf-8")
        return text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/vnd.mermaid": self.to_mermaid()}


def _reference(version: VersionId) -> str:
    return f"{version[0]}@{version[1]}"
