"""Stores and pickles that the first release-to-be wrote, before its modules got their present names, are read.

``data/before.zip`` was made by that code: a store, the folder that it points to, and what its calls returned, pickled
(by protocol 2, whose texts can be replaced: paths are written into them here).
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from pathlib import Path

import pytest

from metamlflow import _moved
from metamlflow.client import MetaMLFlowClient
from metamlflow.errors import StoreFormatError

ZIP = Path(__file__).parent / "data" / "before.zip"
OLD = b"/data/before"
OBJECTS = sorted(Path(name).stem for name in zipfile.ZipFile(ZIP).namelist() if name.startswith("pickles/"))


@pytest.fixture
def before(tmp_path):
    """The folder with what the old code wrote."""
    with zipfile.ZipFile(ZIP) as packed:
        packed.extractall(tmp_path)
    return tmp_path


def unpickled(before: Path, name: str) -> object:
    """What was pickled, with the folder of this test in place of the one that it was pickled in."""

    data = (before / "pickles" / f"{name}.pkl").read_bytes()
    done, moved = 0, b""
    for text in re.finditer(rb"X(.{4})(?:file://)?/data/before/", data, re.DOTALL):
        start, size = text.end(1), struct.unpack("<I", text[1])[0]
        there = data[start : start + size].replace(OLD, bytes(before))
        moved += data[done : text.start()] + b"X" + struct.pack("<I", len(there)) + there
        done = start + size
    return pickle.loads(moved + data[done:])


@pytest.mark.parametrize("name", OBJECTS)
def test_everything_that_was_pickled_is_read_and_says_what_it_is(before, name):
    assert repr(unpickled(before, name))


def test_a_pickled_client_opens_its_store_and_writes_to_it(before):
    client = unpickled(before, "client")
    assert isinstance(client, MetaMLFlowClient)
    assert client.list_names() == ["lake/p", "n/x", "n/y", "tab"]
    assert client.verify_all(["n/x", "n/y", "tab"])
    assert client.register_artifact("n/y", b"abcd").version == 2


def test_a_pointer_of_before_is_refused_with_the_reason(before):
    """Its time is a number that most parsers of JSON round, and the digest of the content is over it."""
    with pytest.raises(StoreFormatError, match="from before format 1 was settled") as caught:
        unpickled(before, "client").get_artifact("lake/p")
    assert "register the data again" in caught.value.hint


def test_a_pickled_artifact_has_its_facts_and_its_content(before):
    artifact = unpickled(before, "artifact")
    assert (str(artifact), artifact.metadata, artifact.created_by) == (repr(artifact), {"a": 1.5}, "alice")
    assert {entry.path: artifact.read_bytes(entry.path) for entry in artifact.entries} == {"a": b"x", "b": b"y" * 10}
    assert artifact.verify()
    assert pickle.loads(pickle.dumps(artifact)) == artifact


def test_a_pickled_pointer_knows_what_it_was_registered_with(before):
    pointer = unpickled(before, "pointer")
    assert [(entry.path, entry.size) for entry in pointer.entries] == [("a", 1), ("b", 10)]
    assert pointer.pointed[0].uri == (before / "d").as_uri() + "/"


def test_reports_and_graphs_still_say_what_they_said(before):
    assert unpickled(before, "verification").ok
    assert unpickled(before, "report").files == 2
    assert unpickled(before, "migration")
    assert unpickled(before, "comparison") == []
    assert [entry.version for entry in unpickled(before, "history").versions] == [1]
    assert "n/x@1" in str(unpickled(before, "lineage"))
    assert unpickled(before, "refresh").changes.added == ["c"]


def test_every_class_of_the_table_is_where_it_says():
    for module, classes in _moved._MOVED.items():
        for name in classes:
            assert hasattr(__import__(module, fromlist=[name]), name), f"{module}.{name}"


def test_a_module_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        __import__("metamlflow.store.nothing")
    with pytest.raises(AttributeError):
        __import__("metamlflow.store.opening", fromlist=["x"]).Nothing  # noqa: B018
