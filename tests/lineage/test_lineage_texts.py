"""Lineage as a tree, Mermaid, JSON and networkx: what names and roles hold stays text."""

from __future__ import annotations

import inspect
import json
import re
import sys

import pytest

from extras import imported
from metamlflow import MetaMLFlowClient
from metamlflow.testing import MemoryBackend, MemoryBucket, client_on

CHAIN = ("raw", "cleaned", "features", "model", "metrics")


@pytest.fixture
def chain(client) -> MetaMLFlowClient:
    """raw → cleaned → features → model → metrics, and beside it raw → report."""
    for before, name in zip((None, *CHAIN), CHAIN, strict=False):
        inputs = {f"the_{before}": f"{before}@1"} if before else ()
        client.register_artifact(name, name.encode(), "dataset", inputs=inputs)
    client.register_artifact("report", b"report", inputs=["raw@1"])
    return client


def test_the_tree_shows_both_directions(chain):
    assert str(chain.lineage("cleaned@1")).splitlines() == [
        "cleaned@1  (dataset)",
        "made from",
        "└─ raw@1  (dataset)  as the_raw",
        "used for",
        "└─ features@1  (dataset)  as the_cleaned",
        "   └─ model@1  (dataset)  as the_features",
        "      └─ metrics@1  (dataset)  as the_model",
    ]


def test_the_tree_shows_each_node_once_in_full(client):
    client.register_artifact("base", b"1", inputs=[])
    client.register_artifact("mid", b"1", inputs=["base@1"])
    client.register_artifact("top", b"1", inputs=["mid@1"])
    client.register_artifact("end", b"1", inputs=["top@1", "mid@1"])
    assert str(client.lineage("end@1")).splitlines() == [
        "end@1  (file)",
        "made from",
        "├─ top@1  (file)",
        "│  └─ mid@1  (file)",
        "│     └─ base@1  (file)",
        "└─ mid@1  (file) …",
    ]


@pytest.mark.full
def test_a_chain_longer_than_the_stack_of_python_is_shown():
    client = client_on(MemoryBackend(MemoryBucket()))
    for number in range(300):
        client.register_artifact("a", b"%d" % number, inputs=["a"] if number else [])
    lineage, limit = client.lineage("a@300"), sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        lines, mermaid = str(lineage).splitlines(), lineage.to_mermaid()
    finally:
        sys.setrecursionlimit(limit)
    assert len(lines) == 301
    assert lines[-1].endswith("└─ a@1  (file)")
    assert mermaid.count("-->") == 299


HOSTILE = {
    "quotation marks": 'say "hi"',
    "brackets": "a]b[c](d){e}",
    "newlines": "one\nn0 --> n1\rtwo\u2028three",
    "a script": "<script>alert(1)</script>",
    "entities": "#quot; &lt; #59;",
    "control characters": "\x00\x1b[31mred\x7f",
    "an end": "end",
    "a megabyte": "x" * 1_000_000,
    "the other way": "\u202egnp.exe",
    "ticks and pipes": "`|a|` %% comment",
}


@pytest.mark.full
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_roles_and_names_of_runs_stay_text(client, text):
    client.register_artifact("raw", b"1")
    with client.run(text[:200]):
        client.register_artifact("made", b"m", inputs={text: "raw@1"})
    lineage = client.lineage("made@1")
    mermaid = lineage.to_mermaid()
    assert mermaid.endswith("\n")
    for line in mermaid.splitlines():
        assert re.fullmatch(r"flowchart LR|  n\d.*", line) or line.startswith("  style n"), line
    assert len(mermaid.splitlines()) == 1 + 3 + 2 + 1
    nodes, arrows = mermaid.splitlines()[1:4], mermaid.splitlines()[4:6]
    for node in nodes:
        assert re.fullmatch(r'  n\d(\[|\(\[)"[^"<>`|]*"(\]|\]\))', node)
        assert not re.search(r"#(?!\d+;)", node)
    assert all(re.fullmatch(r'  n\d (-- "[^"<>`|]*" -->|-->) n\d', arrow) for arrow in arrows)
    assert len(mermaid) < 3000
    tree = str(lineage)
    assert len(tree.splitlines()) == 4
    assert tree.replace("\n", "").isprintable()


def test_mermaid_of_a_chain_is_as_it_should_be(chain):
    chain.register_artifact("odd", b"o", "model", inputs={'"r"': "raw@1"})
    assert chain.lineage("odd@1").to_mermaid() == (
        'flowchart LR\n  n0["odd@1"]\n  n1["raw@1"]\n  n1 -- "#34;r#34;" --> n0\n  style n0 stroke-width:3px\n'
    )


def test_json_holds_nodes_links_and_facts(chain):
    document = chain.lineage("cleaned@1", "upstream").to_json()
    assert json.loads(json.dumps(document)) == document
    assert (document["start"], document["complete"]) == ("cleaned@1", True)
    assert [(node["id"], node["kind"]) for node in document["nodes"]] == [
        ("cleaned@1", "artifact"),
        ("raw@1", "artifact"),
    ]
    assert document["links"] == [{"source": "raw@1", "target": "cleaned@1", "role": "the_raw"}]
    cleaned = chain.get_artifact("cleaned")
    facts = document["nodes"][0]["facts"]
    assert (facts["digest"], facts["manifest_digest"]) == (cleaned.digest, cleaned.manifest_digest)
    assert (facts["type"], facts["files"], facts["size"]) == ("dataset", 1, 7)


def test_networkx_takes_it_over(chain):
    networkx = imported("networkx")
    graph = chain.lineage("features@1").to_networkx()
    assert networkx.is_directed_acyclic_graph(graph)
    assert list(networkx.topological_sort(graph)) == [f"{name}@1" for name in CHAIN]
    assert graph.nodes["model@1"]["kind"] == "artifact"
    assert graph.edges["raw@1", "cleaned@1", 0]["role"] == "the_raw"
    assert networkx.descendants(graph, "features@1") == {"model@1", "metrics@1"}


def test_a_notebook_is_given_text_and_mermaid(chain):
    lineage = chain.lineage("model@1")
    assert lineage._repr_mimebundle_() == {"text/plain": str(lineage), "text/vnd.mermaid": lineage.to_mermaid()}
    assert repr(lineage) == "<Lineage of model@1: 5 artifacts, 4 links>"
