"""Whatever the library hands out for a version is taken where a version is asked for."""

from __future__ import annotations

import dataclasses

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.data import Dataset
from metamlflow.errors import ArtifactNotFoundError, ArtifactPrunedError, InvalidInputError, RunNotFoundError


@pytest.fixture(autouse=True)
def _versions(client):
    client.register_artifact("table", b"1")
    client.register_artifact("table", b"2")
    client.register_artifact("base", b"b")
    client.register_artifact("model", b"m", inputs={"train": "table@1", "base": "base@1"})


def model(client):
    return client.get_artifact("model")


def dataset(client):
    return Dataset.open(client, "table", 1)


GIVEN = {
    "an artifact": (lambda client: client.get_artifact("table", 1), ["table@1"]),
    "a dataset": (dataset, ["table@1"]),
    "a text": (lambda client: "table@1", ["table@1"]),
    "an input": (lambda client: model(client).inputs[0], ["train=table@1"]),
    "all inputs of another": (lambda client: model(client).inputs, ["train=table@1", "base=base@1"]),
    "a list of each": (
        lambda client: [
            "table@2",
            model(client),
            dataset(client),
            model(client).inputs[1],
            [client.get_artifact("base")],
        ],
        ["table@2", "model@1", "table@1", "base=base@1"],
    ),
    "roles of each": (
        lambda client: {"a": dataset(client), "b": model(client).inputs[0], "c": [model(client), "table@2"]},
        ["a=table@1", "b=table@1", "c=model@1", "c=table@2"],
    ),
    "a role of all inputs": (lambda client: {"old": model(client).inputs}, ["old=table@1", "old=base@1"]),
    "what a refresh returned": (
        lambda client: dataclasses.make_dataclass("Refreshed", ["artifact"])(client.get_artifact("base")),
        ["base@1"],
    ),
}


@pytest.mark.parametrize(("inputs", "expected"), GIVEN.values(), ids=GIVEN)
def test_inputs_take_what_the_library_hands_out(client, manifest_inputs, inputs, expected):
    client.register_artifact("made", b"x", inputs=inputs(client))
    assert manifest_inputs("made") == expected


def test_a_dataset_takes_them_too(client, manifest_inputs):
    Dataset.register(client, "made", {"a.csv": b"x\n1\n"}, inputs=dataset(client))
    assert manifest_inputs("made") == ["table@1"]


def test_a_pointer_takes_them_too(client, manifest_inputs, folder):
    (folder / "a").write_bytes(b"1")
    client.register_pointer("made", folder, inputs=model(client).inputs)
    assert manifest_inputs("made") == ["train=table@1", "base=base@1"]


VERSIONS = {
    "an artifact": lambda client: client.get_artifact("table", 1),
    "a dataset": dataset,
    "an input": lambda client: model(client).inputs[0],
    "a text": lambda client: "table@1",
}


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_lineage_is_asked_of_what_the_library_hands_out(client, version):
    graph = client.lineage(version(client), "downstream")
    assert (graph.start, graph.artifacts) == ("table@1", ("model@1", "table@1"))


def test_an_input_is_got_as_the_version_that_was_used(client):
    used = model(client).inputs[0]
    assert client.get_artifact(used) == client.get_artifact("table", 1)
    with pytest.raises(InvalidInputError, match="version 1 already"):
        client.get_artifact(used, 2)


@pytest.mark.parametrize("make", [model, dataset], ids=["an artifact", "a dataset"])
def test_what_was_got_already_is_not_got_again(client, make):
    with pytest.raises(InvalidInputError, match="is an artifact already"):
        client.get_artifact(make(client))


def test_a_run_uses_a_dataset_and_returns_it(client):
    with client.run("job") as run:
        given = dataset(client)
        assert run.use(given, "train") is given
    assert [(str(used.name), used.role) for used in run.inputs] == [("table", "train")]
    with client.run("job") as run, pytest.raises(InvalidInputError, match="not str"):
        run.use("table@1")


# --- of another store, and of none ----------------------------------------------------------------------------------


@pytest.fixture
def other(tmp_path):
    client = MetaMLFlowClient(tmp_path / "other")
    client.register_artifact("table", b"1")
    client.register_artifact("model", b"m", inputs=["table@1"])
    return client


FOREIGN = {
    "an artifact": (lambda other: other.get_artifact("table"), "is in another store"),
    "a dataset": (lambda other: Dataset.open(other, "table"), "is in another store"),
    "an input": (lambda other: other.get_artifact("model").inputs[0], r"table@1 in .* is not the version"),
}


@pytest.mark.parametrize(("make", "told"), FOREIGN.values(), ids=FOREIGN)
def test_a_version_of_another_store_is_refused(client, other, raw, make, told):
    before = raw.keys()
    version = make(other)
    for inputs in (version, [version], {"train": version}):
        with pytest.raises(InvalidInputError, match=told):
            client.register_artifact("made", b"x", inputs=inputs)
    with pytest.raises(InvalidInputError, match=told):
        client.lineage(version)
    assert raw.keys() == before


def nested(depth):
    inputs = "table@1"
    for _ in range(depth):
        inputs = [inputs]
    return inputs


def test_inputs_without_end_are_refused(client, raw):
    before, ring = raw.keys(), []
    ring.append(ring)
    for inputs in (ring, {"train": ring}, nested(10_000), {"train": nested(10_000)}):
        with pytest.raises(InvalidInputError, match="nested too deeply") as caught:
            client.register_artifact("made", b"x", inputs=inputs)
        assert "one for each role" in caught.value.hint
    with pytest.raises(InvalidInputError, match="not list"):
        client.lineage(ring)
    assert raw.keys() == before


def test_a_version_that_was_got_through_a_link_to_the_store_is_one_of_it(client, raw, tmp_path, manifest_inputs):
    (tmp_path / "link").symlink_to(raw.root)
    for way in (str(tmp_path / "link"), f"file://{tmp_path}/./link"):
        other = MetaMLFlowClient(way)
        client.register_artifact("made", b"x", inputs=[other.get_artifact("table", 1)])
        assert manifest_inputs("made") == ["table@1"]
        with client.run("job") as run:
            other.get_artifact("table", 2).read_bytes()
        assert [used.version for used in run.inputs] == [2]


def test_an_input_that_this_store_does_not_have_is_refused(client, other):
    other.register_artifact("elsewhere", b"e")
    used = other.register_artifact("model", b"n", inputs=["elsewhere@1"]).inputs
    with pytest.raises(ArtifactNotFoundError, match="elsewhere"):
        client.register_artifact("made", b"x", inputs=used)


def test_a_version_that_was_pruned_is_an_input_by_what_names_it_and_by_no_alias(client, raw, manifest_inputs):
    inputs = model(client).inputs
    client.set_alias("base", "good", 1)
    raw.prune("base", 1)
    client.register_artifact("made", b"x", inputs=inputs)
    assert manifest_inputs("made") == ["train=table@1", "base=base@1"]
    with pytest.raises(ArtifactPrunedError):
        client.register_artifact("made", b"x", inputs="base@good")
    with pytest.raises(ArtifactPrunedError):
        client.get_artifact(inputs[1])


@pytest.mark.parametrize("nothing", [None, 7, object(), ["table@1"]], ids=lambda value: type(value).__name__)
def test_what_names_no_version_is_not_verified_and_no_run(client, nothing):
    with pytest.raises(InvalidInputError):
        client.verify_all([nothing])
    with pytest.raises(RunNotFoundError):
        client.get_run(nothing)


@pytest.mark.parametrize("nothing", [None, 7, object(), ["table@1"]], ids=lambda value: type(value).__name__)
def test_what_names_no_version_has_no_lineage(client, nothing):
    with pytest.raises(InvalidInputError, match="an input is an artifact, a dataset"):
        client.lineage(nothing)
