"""Inputs: what a registrant says, what metadata link, and how it lies on disk."""

from __future__ import annotations

import hashlib
import multiprocessing
import os

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import ArtifactNotFoundError, ArtifactPrunedError, InvalidInputError, LineageWarning

EDGE = b'{"format":1}\n'


@pytest.fixture(autouse=True)
def _sources(client):
    """Three versions of ``table``, the first of them called ``good``, and a model."""
    for data in (b"1", b"2", b"3"):
        client.register_artifact("table", data)
    client.set_alias("table", "good", 1)
    client.register_artifact("Team/Model", b"m")


def edges(raw) -> dict[str, bytes]:
    found = (path for path in (raw.root / "edges").rglob("*") if path.is_file())
    return {path.relative_to(raw.root).as_posix(): path.read_bytes() for path in found}


# --- as they are given ------------------------------------------------------------------------------------------------

GIVEN = {
    "an artifact": (lambda client: [client.get_artifact("table", 2)], ["table@2"]),
    "a reference": (lambda client: ["table@2"], ["table@2"]),
    "the latest": (lambda client: ["table"], ["table@3"]),
    "latest by its name": (lambda client: ["table@latest"], ["table@3"]),
    "an alias": (lambda client: ["table@good"], ["table@1"]),
    "a generator": (lambda client: (f"table@{number}" for number in (1, 2)), ["table@1", "table@2"]),
    "a tuple of both kinds": (
        lambda client: ("Team/Model@1", client.get_artifact("table", 1)),
        ["Team/Model@1", "table@1"],
    ),
    "one version twice": (lambda client: ["table@1", "table@good", client.get_artifact("table", 1)], ["table@1"]),
    "roles": (
        lambda client: {"train": "table@1", "test": client.get_artifact("table", 2)},
        ["train=table@1", "test=table@2"],
    ),
    "a role of several": (lambda client: {"train": ["table@1", "table@2"]}, ["train=table@1", "train=table@2"]),
    "one version in two roles": (
        lambda client: {"train": "table@1", "test": "table@1"},
        ["train=table@1", "test=table@1"],
    ),
    "a role of none": (lambda client: {"train": []}, []),
    "none": (lambda client: [], []),
}


@pytest.mark.parametrize(("inputs", "expected"), GIVEN.values(), ids=GIVEN)
def test_inputs_are_recorded_with_number_and_role(client, manifest_inputs, inputs, expected):
    made = client.register_artifact("made", b"m", inputs=inputs(client))
    assert manifest_inputs("made") == expected
    assert len(made.inputs) == len(expected)


def test_an_input_is_tied_to_the_manifest_that_was_used(client, raw):
    client.register_artifact("made", b"m", inputs={"train": "table@2"})
    digest = f"sha256:{hashlib.sha256(raw.manifest_path('table', 2).read_bytes()).hexdigest()}"
    assert raw.manifest("made")["inputs"] == [
        {"name": "table", "version": 2, "manifest_digest": digest, "role": "train"}
    ]


def test_an_edge_lies_on_disk_for_each_input_once(client, raw):
    client.register_artifact("Made", b"m", inputs={"train": "table@2", "test": "table@2", "base": "Team/Model@1"})
    assert edges(raw) == {"edges/table/_v2/!made@1": EDGE, "edges/!team/!model/_v1/!made@1": EDGE}
    client.register_artifact("Made", b"n", inputs=["table@2"])
    assert set(edges(raw)) == {
        "edges/table/_v2/!made@1",
        "edges/table/_v2/!made@2",
        "edges/!team/!model/_v1/!made@1",
    }


def test_inputs_of_a_run_are_added_and_a_role_takes_the_place_of_none(client, manifest_inputs):
    with client.run("job"):
        client.get_artifact("table", 1).read_bytes()
        client.get_artifact("table", 2).read_bytes()
        client.register_artifact("made", b"m", inputs={"train": "table@1", "base": "Team/Model"})
    assert manifest_inputs("made") == ["train=table@1", "base=Team/Model@1", "table@2"]


def test_a_pointer_has_inputs_too(client, manifest_inputs, folder):
    (folder / "a").write_bytes(b"1")
    client.register_pointer("lake", folder, inputs=["table@1"])
    assert manifest_inputs("lake") == ["table@1"]


def test_a_version_whose_bytes_were_given_up_is_an_input_by_its_number_alone(client, raw, manifest_inputs):
    client.set_alias("table", "good", 3)
    raw.prune("table", 3)
    client.remove_alias("table", "good")
    client.register_artifact("made", b"m", inputs=["table@3", "table"])
    assert manifest_inputs("made") == ["table@3", "table@2"]


# --- as they are refused ----------------------------------------------------------------------------------------------

REFUSED = {
    "a version that does not exist": (["table@9"], ArtifactNotFoundError, "'table' has no version 9"),
    "a name that does not exist": (["tabel@1"], ArtifactNotFoundError, "Did you mean 'table'"),
    "an alias that does not exist": (["table@best"], ArtifactNotFoundError, "no alias 'best'"),
    "one that does not exist in a role": ({"train": "table@9"}, ArtifactNotFoundError, "no version 9"),
    "one of several that does not exist": (["table@1", "table@9"], ArtifactNotFoundError, "no version 9"),
    "None": ([None], InvalidInputError, "not NoneType"),
    "None for all": (None, InvalidInputError, "not NoneType"),
    "None in a role": ({"train": None}, InvalidInputError, r"of role 'train'(?s:.)*not NoneType"),
    "bytes": (b"table@1", InvalidInputError, "not bytes"),
    "a malformed reference": (["table@1@2"], InvalidInputError, "'1@2' is neither"),
    "a number": ([7], InvalidInputError, "not int"),
    "a role that is no text": ({7: "table@1"}, InvalidInputError, "a role is a text"),
    "an empty role": ({"": "table@1"}, InvalidInputError, "a role is a text"),
}


@pytest.mark.parametrize(("inputs", "error", "told"), REFUSED.values(), ids=REFUSED)
def test_an_input_that_is_none_is_refused_and_nothing_is_registered(client, raw, inputs, error, told):
    before = raw.keys()
    with pytest.raises(error, match=told):
        client.register_artifact("made", b"m", inputs=inputs)
    assert raw.keys() == before


def test_an_artifact_of_another_store_is_refused(client, raw, tmp_path):
    foreign = MetaMLFlowClient(tmp_path / "elsewhere").register_artifact("table", b"1")
    before = raw.keys()
    with pytest.raises(InvalidInputError, match="table@1 is in another store"):
        client.register_artifact("made", b"m", inputs=[foreign])
    assert raw.keys() == before


def test_the_latest_of_a_name_that_is_all_given_up_is_refused(client, raw):
    raw.prune("!team/!model", 1)
    with pytest.raises(ArtifactPrunedError):
        client.register_artifact("made", b"m", inputs=["Team/Model"])


# --- links in metadata ------------------------------------------------------------------------------------------------

LINKS = {
    "as the tutorial has it": (
        {"training_data_artifact_name": "table", "training_data_version": 2},
        ["training_data=table@2"],
    ),
    "a number as a text": ({"a_artifact_name": "table", "a_version": "2"}, ["a=table@2"]),
    "latest": ({"a_artifact_name": "table", "a_version": "latest"}, ["a=table@3"]),
    "an alias": ({"a_artifact_name": "table", "a_version": "good"}, ["a=table@1"]),
    "two": (
        {
            "b_artifact_name": "table",
            "b_version": 1,
            "a_artifact_name": "Team/Model",
            "a_version": 1,
        },
        ["a=Team/Model@1", "b=table@1"],
    ),
    "a name alone": ({"training_data_artifact_name": "table"}, []),
    "a version alone": ({"training_data_version": 2}, []),
    "no role": ({"_artifact_name": "table", "_version": 2}, []),
    "artifact_name without a role": ({"artifact_name": "table", "version": 2}, []),
    "deeper down": ({"deep": {"a_artifact_name": "table", "a_version": 2}}, []),
}


@pytest.mark.parametrize(("metadata", "expected"), LINKS.values(), ids=LINKS)
def test_a_pair_in_the_metadata_is_an_input_in_its_role(client, raw, manifest_inputs, metadata, expected):
    client.register_artifact("made", b"m", metadata=metadata)
    assert manifest_inputs("made") == expected
    assert raw.manifest("made")["metadata"] == metadata
    assert len(edges(raw)) == len(expected)


BROKEN_LINKS = {
    "a version that does not exist": ({"a_artifact_name": "table", "a_version": 9}, "'table' has no version 9"),
    "a name that does not exist": ({"a_artifact_name": "chair", "a_version": 1}, "no artifact 'chair'"),
    "a name that is none": ({"a_artifact_name": "../x", "a_version": 1}, "names no version"),
    "a name that is a number": ({"a_artifact_name": 7, "a_version": 1}, "names no version"),
    "a name that is nothing": ({"a_artifact_name": None, "a_version": 1}, "names no version"),
    "a version that is none": ({"a_artifact_name": "table", "a_version": [1]}, "names no version"),
    "version 0": ({"a_artifact_name": "table", "a_version": 0}, "names no version"),
    "a fraction": ({"a_artifact_name": "table", "a_version": 1.5}, "names no version"),
}


@pytest.mark.parametrize(("metadata", "told"), BROKEN_LINKS.values(), ids=BROKEN_LINKS)
def test_a_link_that_leads_nowhere_warns_where_the_caller_registers(client, manifest_inputs, metadata, told):
    with pytest.warns(LineageWarning, match=told) as caught:
        client.register_artifact("made", b"m", metadata=metadata)
    assert [warning.filename for warning in caught] == [__file__]
    (line,) = [warning.lineno for warning in caught]
    with open(__file__) as source:  # noqa: PTH123 (this very file)
        assert "client.register_artifact(" in source.readlines()[line - 1]
    assert str(caught[0].message).startswith("metadata link 'a'")
    assert str(caught[0].message).endswith("it is not an input")
    assert manifest_inputs("made") == []


def test_a_link_in_the_first_registration_of_a_store_warns_and_it_is_made(tmp_path):
    client = MetaMLFlowClient(tmp_path / "new")
    with pytest.warns(LineageWarning, match="it is not an input"):
        made = client.register_artifact("m", b"m", metadata={"a_artifact_name": "table", "a_version": 1})
    assert (made.version, made.inputs) == (1, ())


def test_a_link_and_an_input_of_one_role_are_one(client, manifest_inputs):
    metadata = {"train_artifact_name": "table", "train_version": 2}
    client.register_artifact("made", b"m", metadata=metadata, inputs={"train": "table@2"})
    assert manifest_inputs("made") == ["train=table@2"]


# --- edges of writers that lost their race ----------------------------------------------------------------------------


def test_an_edge_that_no_manifest_bears_out_is_not_believed(client, raw):
    client.register_artifact("made", b"m", inputs=["table@1"])
    client.register_artifact("stranger", b"s")
    false = ("stranger@1", "stranger@7", "nobody@1", "made@01", "no version", "!1@1", "stranger@99999999999")
    for name in false:
        (raw.root / "edges/table/_v1" / name).write_bytes(EDGE)
    lineage = client.lineage("table@1")
    assert lineage.artifacts == ("made@1", "table@1")
    assert lineage.complete


def race(folder, number: int, start) -> None:
    client = MetaMLFlowClient(folder)
    start.wait(30)
    for turn in range(4):
        client.register_artifact("raced", b"%d %d" % (number, turn), inputs=[f"table@{number}"])


def test_racers_of_one_name_are_seen_downstream_of_what_they_used_and_of_nothing_else(client, store_folder, raw):
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(3)
    racers = [fork.Process(target=race, args=(store_folder, number, start)) for number in (1, 2, 3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [os.EX_OK] * 3
    used = {version: raw.manifest("raced", version)["inputs"][0]["version"] for version in range(1, 13)}
    assert sorted(used.values()) == [1] * 4 + [2] * 4 + [3] * 4
    for number in (1, 2, 3):
        true = {f"raced@{version}" for version, source in used.items() if source == number}
        hinted = {path.name for path in (raw.root / f"edges/table/_v{number}").iterdir()}
        assert hinted >= true
        assert set(client.lineage(f"table@{number}", "downstream").artifacts) == true | {f"table@{number}"}
