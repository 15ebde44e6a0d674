"""The page of a lineage: it needs no network, whatever names hold stays text, and it draws what is there."""

from __future__ import annotations

import json
import re
import shutil
import time

import pytest
from browser import CHROMIUM, elements_of, opened_in_chromium
from hypothesis import given
from hypothesis import strategies as st

from metamlflow.errors import DamagedRecordWarning
from metamlflow.lineage.page import layered
from metamlflow.testing import MemoryBackend, MemoryBucket, client_on

ATTACK = "</script><script>document.title='taken'</script>"
HOSTILE = {
    "a script": ATTACK,
    "a comment": "<!-- <script> -->",
    "an element": '"><img src=x onerror=alert(1)>',
    "entities": "&lt;b&gt; &amp; &#34;",
    "control characters": "\x00\x01\x1b[31m\x7f",
    "line separators": "one\u2028two\u2029three\r\nfour",
    "templates": "{title} {0} %s ${alert(1)} \\u003c `tick`",
    "the other way": "\u202egnp.exe",
    "a megabyte": "x" * 1_000_000,
}


@pytest.fixture
def lineage(client):
    """Raw → a run → made, with metadata and parameters."""
    return hostile_lineage(client, "nothing hostile")


def hostile_lineage(client, text):
    client.register_artifact("raw", b"1", metadata={"note": text, text[:100]: [text, {"deep": text}]})
    with client.run(text[:200], params={"p": text}) as run:
        run.note(text)
        client.get_artifact("raw").read_bytes()
        client.register_artifact("made", b"m", inputs={text: "raw@1"}, metadata={"note": text})
    return client.lineage("made@1")


def data_of(page: str) -> dict:
    """The graph that a page carries, read as a browser reads it: up to the first end of its element."""
    (data,) = [element.text for element in elements_of(page) if element.attributes.get("id") == "data"]
    return json.loads(data)


def test_the_page_shows_which_aliases_stand_for_which_version(client, lineage):
    for alias, name in (("production", "made"), ("best", "made"), ("golden", "raw")):
        client.set_alias(name, alias, 1)
    nodes = {node["id"]: node for node in data_of(lineage.to_html())["nodes"]}
    assert nodes["made@1"]["label"] == "made@1 (best, production)"
    assert nodes["made@1"]["facts"]["aliases"] == "best, production"
    assert nodes["raw@1"]["label"] == "raw@1 (golden)"
    client.set_alias("made", "production", client.register_artifact("made", b"newer").version)
    client.remove_alias("raw", "golden")
    nodes = {node["id"]: node for node in data_of(lineage.to_html())["nodes"]}
    assert (nodes["made@1"]["label"], nodes["raw@1"]["label"]) == ("made@1 (best)", "raw@1")
    assert "aliases" not in nodes["raw@1"]["facts"]


def test_aliases_that_cannot_be_read_do_not_hinder_the_page(client, lineage, store_folder):
    client.set_alias("made", "production", 1)
    client.set_alias("raw", "golden", 1)
    (record,) = (store_folder / "artifacts/made/_aliases/production").iterdir()
    record.chmod(0o644)
    record.write_bytes(b"no JSON")
    with pytest.warns(DamagedRecordWarning, match="left out of the aliases"):
        nodes = {node["id"]: node for node in data_of(lineage.to_html())["nodes"]}
    assert (nodes["made@1"]["label"], nodes["raw@1"]["label"]) == ("made@1", "raw@1 (golden)")


# --- the text of the page ---------------------------------------------------------------------------------------------


def test_the_page_is_written_where_it_is_asked_for_and_returned(lineage, tmp_path):
    page = lineage.to_html(tmp_path / "lineage.html")
    assert (tmp_path / "lineage.html").read_text("utf-8") == page
    assert lineage.to_html() == page
    assert page.startswith("<!doctype html>")
    assert "<title>Lineage of made@1</title>" in page


def test_the_page_loads_nothing(lineage):
    loading = {"src", "href", "srcset", "data", "action", "poster", "background", "formaction"}
    elements = elements_of(lineage.to_html())
    assert [element for element in elements if loading & set(element.attributes)] == []
    assert {element.tag for element in elements} & {"link", "img", "iframe", "object", "embed", "base", "form"} == set()
    (style,) = [element.text for element in elements if element.tag == "style"]
    assert not re.search(r"@import|url\(", style)
    (policy,) = [e.attributes["content"] for e in elements if e.attributes.get("http-equiv")]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_the_page_names_the_licence_of_what_draws_it(lineage):
    page = lineage.to_html()
    assert "Permission is hereby granted, free of charge" in page
    assert "Cytoscape" in page


def test_the_page_carries_the_whole_graph(lineage):
    document = json.loads(json.dumps(lineage.to_json()))
    data = data_of(lineage.to_html())
    assert [node["id"] for node in data["nodes"]] == [node["id"] for node in document["nodes"]]
    for node, expected in zip(data["nodes"], document["nodes"], strict=True):
        assert node["facts"].items() >= expected["facts"].items()
    assert [(k["source"], k["target"], k["role"]) for k in data["links"]] == [
        (k["source"], k["target"], k["role"]) for k in document["links"]
    ]


def test_the_page_tells_what_is_recorded_of_a_run(lineage):
    (facts,) = [node["facts"] for node in data_of(lineage.to_html())["nodes"] if node["kind"] == "run"]
    assert facts["params"] == {"p": "nothing hostile"}
    assert facts["notes"] == ["nothing hostile"]
    assert facts["outcome"] == "finished"
    assert (facts["inputs"], facts["outputs"]) == (["raw@1"], ["made@1"])


def test_the_page_is_made_also_where_the_records_of_a_run_are_gone(lineage, store_folder):
    shutil.rmtree(store_folder / "runs")
    (facts,) = [node["facts"] for node in data_of(lineage.to_html())["nodes"] if node["kind"] == "run"]
    assert facts["code"]["run"] == "nothing hostile"


@pytest.mark.full
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_stays_text(client, text):
    lineage = hostile_lineage(client, text)
    page = lineage.to_html()
    assert [element.tag for element in elements_of(page)] == [e.tag for e in elements_of(calm_page(client))]
    data = data_of(page)
    labels = {node["label"] for node in data["nodes"]}
    assert text[:200] in labels
    assert text in {link["role"] for link in data["links"]}
    (made,) = [node for node in data["nodes"] if node["id"] == "made@1"]
    (run,) = [node for node in data["nodes"] if node["kind"] == "run"]
    assert run["facts"]["params"] == {"p": text} or len(text) > 20_000
    whole = {"note": text}
    assert made["facts"]["metadata"] == (whole if len(text) < 20_000 else f"{json.dumps(whole)[:20_000]}…")


def calm_page(client) -> str:
    with client.run("calm"):  # of the same kinds of nodes: the legend tells which there are
        client.register_artifact("calm", b"1")
    return client.lineage("calm@1").to_html()


def test_a_megabyte_of_metadata_is_cut_short(client):
    client.register_artifact("a", b"1", metadata={"note": "x" * 1_000_000})
    page, calm = client.lineage("a@1").to_html(), calm_page(client)
    assert len(page) < len(calm) + 25_000


def test_what_ends_a_script_stands_nowhere_but_at_its_end(client):
    page = hostile_lineage(client, ATTACK).to_html()
    assert page.count("</script") == page.count("<script") == 3


# --- where nodes stand ------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    """A directed graph without a ring, its nodes and links in any order, links also twice."""
    count = draw(st.integers(1, 25))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    links = [(f"n{min(pair)}", f"n{max(pair)}") for pair in draw(st.lists(pairs, max_size=60))]
    return draw(st.permutations([f"n{number}" for number in range(count)])), links


@given(graphs())
def test_every_node_stands_right_of_all_that_it_comes_from(graph):
    nodes, links = graph
    places = layered(nodes, links)
    assert set(places) == set(nodes)
    assert len({(x, y) for x, y, _ in places.values()}) == len(nodes), "no node stands on another"
    for source, target in links:
        assert places[source][0] < places[target][0]
        assert places[source][2] < places[target][2]


@given(graphs())
def test_a_node_stands_one_layer_behind_the_last_of_its_sources(graph):
    nodes, links = graph
    places = layered(nodes, links)
    for node in nodes:
        sources = [places[source][2] for source, target in links if target == node]
        assert places[node][2] == max(sources, default=-1) + 1


def test_a_chain_of_diamonds_is_drawn_without_a_crossing():
    links = []
    for number in range(10):
        links += [(f"a{number}", f"{side}{number}") for side in "lr"]
        links += [(f"{side}{number}", f"a{number + 1}") for side in "lr"]
    places = layered(sorted({node for link in links for node in link}), links)
    assert {places[f"a{number}"][1] for number in range(11)} == {0}
    assert all(places[f"l{number}"][1] * places[f"r{number}"][1] < 0 for number in range(10))


def test_five_thousand_nodes_are_placed_in_no_time():
    nodes = [f"n{number}" for number in range(5000)]
    links = [(f"n{number // 3}", f"n{number}") for number in range(1, 5000)]
    links += [(f"n{number}", f"n{number + 700}") for number in range(4300)]
    started = time.process_time()
    places = layered(nodes, links)
    assert time.process_time() - started < 4
    assert all(places[source][0] < places[target][0] for source, target in links)


# --- in a browser -----------------------------------------------------------------------------------------------------

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


def listed(elements) -> list[str]:
    """The labels in the page's list of nodes."""
    return [e.text for e in elements if e.tag == "button" and "nodes" in e.inside]


@pytest.mark.full
@needs_chromium
def test_a_browser_draws_the_graph_and_lists_every_node(client, tmp_path, folder):
    (folder / "a.csv").write_bytes(b"a\n1\n")
    client.register_pointer("lake", folder / "a.csv")
    with client.run("clean"):
        client.get_artifact("lake").read_bytes()
        client.register_artifact("cleaned", b"c")
    for number in range(30):
        client.register_artifact(f"model-{number}", b"m", inputs={"train": "cleaned@1"})
    lineage = client.lineage("cleaned@1")
    lineage.to_html(tmp_path / "page.html")
    elements, console = opened_in_chromium(tmp_path / "page.html")
    assert console == []
    assert listed(elements) == [node.label for node in lineage]
    assert len([e for e in elements if e.tag == "canvas" and "graph" in e.inside]) >= 1, "it is drawn"


@pytest.mark.full
@needs_chromium
def test_a_browser_takes_nothing_hostile_for_code(client, tmp_path):
    hostile = "".join(text for name, text in HOSTILE.items() if name != "a megabyte")
    lineage = hostile_lineage(client, ATTACK + hostile)
    click = "<script>for (const b of document.querySelectorAll('#nodes button')) b.click()</script></body>"
    (tmp_path / "page.html").write_text(lineage.to_html().replace("</body>", click), "utf-8")
    elements, console = opened_in_chromium(tmp_path / "page.html")
    assert console == []
    assert [e.text for e in elements if e.tag == "title"] == ["Lineage of made@1"]
    assert any(label.startswith(ATTACK) for label in listed(elements))
    details = {e.tag: e.text for e in elements if "details" in e.inside}
    assert details["h2"] == lineage.nodes[-1].label, "the last one that was clicked is shown, as text"
    assert len([e for e in elements if e.tag == "script"]) == 4
    assert [e for e in elements if e.tag == "img"] == []


@pytest.mark.full
@needs_chromium
def test_a_browser_opens_hundreds_of_nodes(tmp_path):
    client = client_on(MemoryBackend(MemoryBucket()))
    client.register_artifact("source", b"s")
    for number in range(400):
        client.register_artifact(f"made-{number}", b"m", inputs=["source@1"])
    client.lineage("source@1").to_html(tmp_path / "page.html")
    elements, console = opened_in_chromium(tmp_path / "page.html")
    assert console == []
    assert len(listed(elements)) == 401
