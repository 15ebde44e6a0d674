"""A lineage graph as one page of HTML that needs no network.

Cytoscape.js draws it (MIT licence, in ``assets/``). The positions of nodes are computed here, so that a page with
thousands of nodes opens at once: in layers from left to right, as the data flows, ordered so that few links cross.
"""

from __future__ import annotations

import html
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.resources import files

from metamlflow.lineage.elements import Graph

_LAYER_WIDTH, _GAP, _ROW_HEIGHT = 120.0, 70.0, 62.0
_SHOWN_CHARACTERS = 40
_SWEEPS = 4
_MOST_FACT_CHARACTERS = 20_000

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:">
<title>Lineage of {title}</title>
<style>{css}</style>
</head>
<body>
<header>
<h1>Lineage of {title}</h1>
<input id="search" type="search" placeholder="Search" aria-label="Search names" aria-describedby="hits">
<button id="fit" type="button" title="Clear search and selection (Escape)">Show all</button>
<button id="theme" type="button">Light / dark</button>
</header>
<main>
<div id="graph" role="img" aria-label="The graph; the list beside it has the same nodes"></div>
<ul id="legend" aria-label="Legend">{legend}</ul>
</main>
<aside>
<section id="details" aria-live="polite"></section>
<section><p id="hits" role="status"></p><ul id="nodes" aria-label="All nodes"></ul></section>
</aside>
<script type="application/json" id="data">{data}</script>
<!--
{licence}
-->
<script>{library}</script>
<script>{script}</script>
</body>
</html>
"""

# Shape and line as well as colour by kind, for colour-blind readers and for print.
_LEGEND = {
    "artifact": "artifact",
    "run": "run",
    "source": "place outside of the store",
    "missing": "artifact that cannot be read",
}


def page(lineage: Graph) -> str:
    """Return the page."""
    document, known = lineage.to_json(), lineage.alias_facts()
    for node in document["nodes"]:
        if aliases := known.get(node["id"]):
            node["label"] = f"{node['label']} ({', '.join(aliases)})"
            node["facts"] = {"aliases": ", ".join(aliases), **node["facts"]}
    links = [(link["source"], link["target"]) for link in document["links"]]
    widths = {node["id"]: _width(node["label"], node["kind"]) for node in document["nodes"]}
    places = layered(list(widths), links, widths)
    runs = lineage.run_facts()
    for node in document["nodes"]:
        node["x"], node["y"], _ = places[node["id"]]
        node["width"] = widths[node["id"]]
        facts = {**node["facts"], **runs.get(node["id"], {})}
        node["facts"] = {name: _cut(value) for name, value in facts.items()}
    for link in document["links"]:  # a long link is drawn around the nodes between
        link["span"] = places[link["target"]][2] - places[link["source"]][2]
    assets = files("metamlflow.lineage") / "assets"
    # Only "<" can end a script element or begin a comment in it; the JSON escape stands for the same text.
    data = json.dumps(document, ensure_ascii=True).replace("<", "\\u003c")
    return _PAGE.format(
        title=html.escape("".join(c for c in lineage.start if c.isprintable())),
        legend=_legend({node["kind"] for node in document["nodes"]}),
        css=(assets / "lineage.css").read_text("utf-8"),
        data=data,
        licence=(assets / "cytoscape.LICENSE").read_text("utf-8").replace("--", "- -"),
        library=(assets / "cytoscape.min.js").read_text("utf-8").replace("</script", "<\\/script"),
        script=(assets / "lineage.js").read_text("utf-8"),
    )


def _legend(kinds: set[str]) -> str:
    """Return the legend of these kinds of nodes, as items of a list, and the mark of the requested node."""
    items = [f'<li><span class="kind {kind}"></span>{text}</li>' for kind, text in _LEGEND.items() if kind in kinds]
    return "".join([*items, '<li><span class="kind start"></span>asked about</li>'])


def _cut(value: object) -> object:
    """Return a fact truncated for display: nobody reads a megabyte of notes."""
    text = value if isinstance(value, str) else json.dumps(value)
    return value if len(text) <= _MOST_FACT_CHARACTERS else f"{text[:_MOST_FACT_CHARACTERS]}…"


def _width(label: str, kind: str) -> float:
    corners = 44 if kind == "source" else 24  # a hexagon has less room
    return max(70.0, min(len(label), _SHOWN_CHARACTERS) * 7.6 + corners)


def layered(
    nodes: Sequence[str], links: Sequence[tuple[str, str]], widths: Mapping[str, float] | None = None
) -> Mapping[str, tuple[float, float, int]]:
    """Return the position (x, y) and the layer of each node, from left to right.

    A node is to the right of all its sources. Rows are ordered by the mean row of the neighbours, a few times from
    each side (Sugiyama, Tagawa and Toda, 1981, "Methods for visual understanding of hierarchical system structures").
    """
    sources, targets = defaultdict(list), defaultdict(list)
    for source, target in links:
        sources[target].append(source)
        targets[source].append(target)
    layers: dict[int, list[str]] = defaultdict(list)
    for node, layer in _layers(nodes, sources, targets).items():
        layers[layer].append(node)
    rows = {node: row for members in layers.values() for row, node in enumerate(members)}
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for layer in sorted(layers, reverse=not forward):
            near = sources if forward else targets
            members = sorted(layers[layer], key=lambda node: (_mean([rows[n] for n in near[node]], rows[node]), node))
            rows |= {node: row for row, node in enumerate(members)}
            layers[layer] = members
    places = {}
    left = 0.0
    for layer in sorted(layers):
        members = layers[layer]
        widest = max((widths or {}).get(node, _LAYER_WIDTH) for node in members)
        for row, node in enumerate(members):
            places[node] = left + widest / 2, (row - (len(members) - 1) / 2) * _ROW_HEIGHT, layer
        left += widest + _GAP
    return places


def _mean(rows: Sequence[int], otherwise: float) -> float:
    return sum(rows) / len(rows) if rows else otherwise


def _layers(nodes: Sequence[str], sources: Mapping[str, list[str]], targets: Mapping[str, list[str]]) -> dict[str, int]:
    """Return the layer of each node: one more than the highest of its sources. Nodes of a cycle are placed last."""
    waiting = {node: len(sources[node]) for node in nodes}
    ready = [node for node in nodes if not waiting[node]]
    layers = dict.fromkeys(nodes, 0)
    done = 0
    while done < len(ready):
        node = ready[done]
        done += 1
        for target in targets[node]:
            layers[target] = max(layers[target], layers[node] + 1)
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)
    return layers
