"""Each file of an artifact tells where it lies, for tools that read it in place."""

from __future__ import annotations

import pickle
from dataclasses import replace

import fsspec
import pytest

from metamlflow import MetaMLFlowClient, Pointer


@pytest.fixture
def lake(tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/p.bin").write_bytes(b"pointed")
    return tmp_path / "lake"


@pytest.fixture
def mixed(client, lake):
    return client.register_artifact("mixed", {"a.csv": b"1,2\n", "deep/b": b"two", "p": Pointer(lake / "p.bin")})


def test_it_opens_in_place_whatever_the_kind_of_file(mixed):
    for entries in (list(mixed.entries), mixed.entries[:], [mixed.entries[path] for path in ("a.csv", "deep/b", "p")]):
        assert [fsspec.open(entry.storage_path).open().read() for entry in entries] == [b"1,2\n", b"two", b"pointed"]
    assert mixed.entries["a.csv"].storage_path.endswith(".csv")
    copy = pickle.loads(pickle.dumps(mixed.entries))
    assert copy["deep/b"].storage_path == mixed.entries["deep/b"].storage_path


def test_it_is_part_of_no_comparison(mixed, client, raw):
    entry = mixed.entries["a.csv"]
    assert entry in mixed.entries
    assert entry == replace(entry, storage_path=None)
    assert entry == next(iter(client.get_artifact("mixed").entries))
    assert "storage_path" not in raw.manifest("mixed")["entries"][0]


def test_a_long_list_has_them_too(client):
    many = client.register_artifact("many", {f"{number:04}": b"x" for number in range(600)})
    assert fsspec.open(many.entries["0599"].storage_path).open().read() == b"x"


def test_a_place_that_the_policy_refuses_is_not_told(mixed, store_folder):
    cautious = MetaMLFlowClient(store_folder, pointer_policy={"file": "refuse"}).get_artifact("mixed")
    assert cautious.entries["p"].storage_path is None
    assert cautious.entries["p"].uri.startswith("file://")
    assert cautious.entries["a.csv"].storage_path == mixed.entries["a.csv"].storage_path
