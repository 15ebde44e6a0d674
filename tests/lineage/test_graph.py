"""Lineage as a graph: up, down and both, with runs, places outside and what is missing, at a read for each version."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import pytest

from metamlflow import MetaMLFlowClient, Pointer
from metamlflow.backend import open_backend
from metamlflow.errors import ArtifactNotFoundError, ArtifactPrunedError, InvalidInputError
from metamlflow.format.layout import edge_key
from metamlflow.format.runs import EDGE
from metamlflow.lineage.page import layered
from metamlflow.model.names import ArtifactName
from metamlflow.testing import FaultyBackend, MemoryBackend, MemoryBucket, client_on

CHAIN = ("raw", "cleaned", "features", "model", "metrics")


@pytest.fixture
def chain(client) -> MetaMLFlowClient:
    """raw → cleaned → features → model → metrics, and beside it raw → report."""
    for before, name in zip((None, *CHAIN), CHAIN, strict=False):
        inputs = {f"the_{before}": f"{before}@1"} if before else ()
        client.register_artifact(name, name.encode(), "dataset", inputs=inputs)
    client.register_artifact("report", b"report", inputs=["raw@1"])
    return client


def names(lineage) -> set[str]:
    return {reference.partition("@")[0] for reference in lineage.artifacts}


def links(lineage) -> set[tuple[str, str, str | None]]:
    return {(link.source, link.target, link.role) for link in lineage.links}


# --- where it goes ----------------------------------------------------------------------------------------------------

WALKS = {
    "upstream": ("features", "upstream", None, {"raw", "cleaned", "features"}),
    "upstream from the start": ("raw", "upstream", None, {"raw"}),
    "downstream": ("features", "downstream", None, {"features", "model", "metrics"}),
    "downstream from the start": ("raw", "downstream", None, {*CHAIN, "report"}),
    "both": ("features", "both", None, set(CHAIN)),
    "no step": ("features", "both", 0, {"features"}),
    "a step up": ("features", "upstream", 1, {"cleaned", "features"}),
    "a step down": ("features", "downstream", 1, {"features", "model"}),
    "a step both ways": ("features", "both", 1, {"cleaned", "features", "model"}),
    "two steps both ways": ("features", "both", 2, set(CHAIN)),
    "more steps than there are": ("features", "both", 99, set(CHAIN)),
}


@pytest.mark.parametrize(("start", "direction", "depth", "expected"), WALKS.values(), ids=WALKS)
def test_a_walk_goes_where_it_is_sent(chain, start, direction, depth, expected):
    lineage = chain.lineage(f"{start}@1", direction, depth)
    assert names(lineage) == expected
    assert lineage.start == f"{start}@1"
    assert lineage.complete
    assert links(lineage) == {
        (f"{before}@1", f"{after}@1", f"the_{before}")
        for before, after in pairwise(CHAIN)
        if {before, after} <= expected
    } | ({("raw@1", "report@1", None)} if "report" in expected else set())


def test_the_artifact_walks_as_the_client_does(chain):
    features = chain.get_artifact("features")
    assert features.upstream().to_json() == chain.lineage("features", "upstream").to_json()
    assert features.upstream(1).to_json() == chain.lineage("features@1", "upstream", 1).to_json()
    assert features.downstream(1).to_json() == chain.lineage(features, "downstream", depth=1).to_json()


def test_both_ways_is_up_and_down_and_not_sideways(chain):
    chain.register_artifact("sibling", b"s", inputs=["features@1"])
    assert "sibling" not in names(chain.lineage("model@1"))
    assert "report" not in names(chain.lineage("cleaned@1"))


def test_a_reference_by_alias_or_latest_is_the_version_that_it_means(chain):
    chain.register_artifact("model", b"2")
    chain.set_alias("model", "production", 1)
    assert chain.lineage("model").start == "model@2"
    assert chain.lineage("model@production").start == "model@1"


REFUSED = {
    "a version that does not exist": (("model@9",), {}, ArtifactNotFoundError),
    "a name that does not exist": (("nothing",), {}, ArtifactNotFoundError),
    "another direction": (("model", "sideways"), {}, InvalidInputError),
    "a negative depth": (("model",), {"depth": -1}, InvalidInputError),
}


@pytest.mark.parametrize(("arguments", "options", "error"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_walked_is_refused(chain, arguments, options, error):
    with pytest.raises(error):
        chain.lineage(*arguments, **options)


@pytest.mark.parametrize("direction", ["upstream", "downstream"])
def test_an_artifact_refuses_a_negative_depth_too(chain, direction):
    with pytest.raises(InvalidInputError, match="depth"):
        getattr(chain.get_artifact("model"), direction)(-1)


def test_versions_are_nodes_of_their_own_and_a_diamond_meets_each_once(client):
    for data in (b"1", b"2"):
        client.register_artifact("base", data)
    client.register_artifact("left", b"l", inputs=["base@1"])
    client.register_artifact("right", b"r", inputs=["base@1", "base@2"])
    client.register_artifact("top", b"t", inputs=["left@1", "right@1", "base@2"])
    lineage = client.lineage("top@1")
    assert [node.id for node in lineage] == ["base@1", "base@2", "left@1", "right@1", "top@1"]
    assert len(lineage.links) == 6
    assert "base@2" in lineage
    assert "base@3" not in lineage


def test_nothing_leads_back_to_itself_however_names_repeat(client):
    """A version names only what existed before it: next versions of one name form a row, and never a ring."""
    client.register_artifact("a", b"0")
    for number in range(1, 6):
        client.register_artifact("b", b"%d" % number, inputs=["a"])
        client.register_artifact("a", b"%d" % number, inputs=["b", "a"])
    lineage = client.lineage("a@6")
    later = {link.source: {k.target for k in lineage.links if k.source == link.source} for link in lineage.links}
    done: set[str] = set()
    for reference in [node.id for node in lineage] * len(lineage):
        if later.get(reference, set()) <= done:
            done.add(reference)
    assert done == {node.id for node in lineage}, "what is on a ring, or before one, never gets done"


# --- runs, pointers, what is missing ----------------------------------------------------------------------------------


def test_a_run_stands_between_what_it_used_and_what_it_made(client):
    client.register_artifact("raw", b"1")
    with client.run("clean") as run:
        client.get_artifact("raw").read_bytes()
        for name in ("one", "two"):
            client.register_artifact(name, b"c", inputs={"rules": "raw@1"})
    lineage = client.lineage("raw@1")
    (node,) = [node for node in lineage if node.kind == "run"]
    assert (node.id, node.label) == (f"run:{run.id}", "clean")
    assert node.facts["code"]["run"] == "clean"
    assert links(lineage) == {("raw@1", node.id, "rules"), (node.id, "one@1", None), (node.id, "two@1", None)}


def test_a_run_that_reads_what_it_made_makes_no_ring(client):
    client.register_artifact("raw", b"1")
    with client.run("all in one"):
        client.get_artifact("raw").read_bytes()
        client.register_artifact("middle", b"2").read_bytes()
        client.register_artifact("made", b"3")
    lineage = client.lineage("made@1", "upstream")
    places = layered([node.id for node in lineage], [(link.source, link.target) for link in lineage.links])
    assert all(places[link.source][0] < places[link.target][0] for link in lineage.links)
    assert places["raw@1"][0] < places["middle@1"][0] < places["made@1"][0]


def test_places_outside_are_sources(client, folder):
    (folder / "a.csv").write_bytes(b"a\n1\n")
    client.register_artifact("mixed", {"x": b"1", "there": Pointer(f"{folder}/"), "one": Pointer(folder / "a.csv")})
    client.register_artifact("made", b"m", inputs=["mixed@1"])
    lineage = client.lineage("made@1")
    sources = {node.id: node.facts["kind"] for node in lineage if node.kind == "source"}
    assert sources == {f"file://{folder}/": "prefix", f"file://{folder}/a.csv": "object"}
    assert {(uri, "mixed@1", None) for uri in sources} < links(lineage)
    assert lineage.artifacts == ("made@1", "mixed@1")
    assert f"file://{folder}/" in str(lineage)


def test_a_consumer_whose_manifest_is_broken_is_shown_as_missing_and_one_that_never_was_is_not(chain, raw):
    raw.overwrite(raw.manifest_path("model", 1), b"{}")
    edge = edge_key((ArtifactName("features"), 1), (ArtifactName("of-a-lost-race"), 1))
    open_backend(chain.storage_uri, {}).create(edge, EDGE)
    lineage = chain.lineage("features@1", "downstream")
    assert [(node.id, node.kind) for node in lineage] == [("features@1", "artifact"), ("model@1", "missing")]
    assert not lineage.complete


def test_an_input_whose_manifest_is_gone_or_broken_is_shown_as_missing(chain, raw):
    raw.manifest_path("cleaned", 1).unlink()
    lineage = chain.lineage("features@1", "upstream")
    assert [(node.id, node.kind) for node in lineage] == [("features@1", "artifact"), ("cleaned@1", "missing")]
    assert not lineage.complete
    assert "missing: cleaned@1" in str(lineage)
    assert "not complete" in str(lineage)
    assert lineage.to_json()["complete"] is False
    raw.overwrite(raw.manifest_path("features", 1), b"{}")
    (problem,) = [node.facts["problem"] for node in chain.lineage("model@1", "upstream") if node.kind == "missing"]
    assert "features" in problem


def test_a_version_whose_bytes_were_given_up_keeps_its_place(chain, raw):
    raw.prune("cleaned", 1)
    assert names(chain.lineage("metrics@1")) == set(CHAIN)
    with pytest.raises(ArtifactPrunedError):
        chain.get_artifact("cleaned", 1)
    assert names(chain.lineage("cleaned@1", "upstream")) == {"raw", "cleaned"}, "it can be asked for by its number"


# --- what it costs ----------------------------------------------------------------------------------------------------


def watched(bucket: MemoryBucket) -> tuple[MetaMLFlowClient, FaultyBackend]:
    """A new client on the bucket that has opened the store, and the backend that counts its calls."""
    backend = FaultyBackend(MemoryBackend(bucket))
    client = client_on(backend)
    client.list_artifacts()
    backend.calls.clear()
    return client, backend


def test_many_consumers_cost_a_listing_and_a_read_each():
    bucket = MemoryBucket()
    maker = client_on(MemoryBackend(bucket))
    source = maker.register_artifact("source", b"s")
    for number in range(200):
        maker.register_artifact(f"consumer-{number}", b"c", inputs=[source])
    _, backend = watched(bucket)
    artifact = client_on(backend).get_artifact("source", 1)
    backend.calls.clear()
    lineage = artifact.downstream(1)
    assert len(lineage.artifacts) == 201
    assert Counter(call.verb for call in backend.calls) == {"list_objects": 1, "read": 200}


def test_a_walk_upstream_reads_each_version_once():
    bucket = MemoryBucket()
    maker = client_on(MemoryBackend(bucket))
    maker.register_artifact("layer-0", b"0")
    for layer in range(1, 6):  # three versions in each layer, made from all of the layer before
        for number in range(1, 4):
            below = [f"layer-{layer - 1}@{n}" for n in range(1, 4 if layer > 1 else 2)]
            maker.register_artifact(f"layer-{layer}", b"%d" % number, inputs=below)
    client, backend = watched(bucket)
    lineage = client.lineage("layer-5@3", "upstream", depth=5)
    read = Counter(call.key for call in backend.calls if call.verb == "read")
    assert len(lineage.artifacts) == 1 + 4 * 3 + 1
    assert set(read.values()) == {1}
    assert sum(read.values()) == len(lineage.artifacts)


def test_the_same_holds_on_a_disk(chain, store_folder):
    backend = FaultyBackend(open_backend(f"file://{store_folder}", {}))
    client = client_on(backend)
    client.list_artifacts()
    backend.calls.clear()
    assert len(client.lineage("metrics@1", "upstream").artifacts) == 5
    assert [call.verb for call in backend.calls].count("read") == 5


def test_the_tree_shows_which_versions_are_pruned_or_erased(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store")
    first = client.register_artifact("raw", b"1")
    for content in (b"2", b"3"):
        client.register_artifact("raw", content)
    client.register_artifact("model", b"m", inputs=[first, "raw@2"])
    client.prune("raw", versions=[1], even_if_used=True)
    shown = str(client.lineage("model@1"))
    assert "raw@1  (file, pruned)" in shown
    assert "raw@2  (file)" in shown
    manifest = next((tmp_path / "store/artifacts/raw/_versions").glob("*_v1.json"))
    tomb = {"format": 1, "record_id": "5" * 32, "created_at": "2026-03-01T00:00:00Z", "created_by": "officer"}
    digest = client.history("raw").versions[0].manifest_digest
    tomb |= {"name": "raw", "version": 1, "previous": None, "manifest_digest": digest}
    manifest.with_name(manifest.stem + ".tomb.json").write_text(json.dumps(tomb))
    manifest.chmod(0o600)
    manifest.unlink()
    assert "erased: raw@1" in str(client.lineage("model@1"))
