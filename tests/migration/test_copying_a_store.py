"""A store is copied by a tool that knows nothing of it, in the order that SPEC.md gives, while others publish."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from feature_lists import key_of, list_of, put
from metamlflow import MetaMLFlowClient
from metamlflow.errors import StoreFormatError, StoreNotFoundError

RECORDS = ("names", "runs", "edges", "relocations", "signatures", "artifacts")
STEPS = ("features", *RECORDS, "blobs", "features", "metamlflow.json")


def copy(part: str, source: Path, destination: Path) -> None:
    """Copy what is below a folder of the root, or a file, and leave alone what is there."""
    files = [path for path in sorted((source / part).rglob("*")) if path.is_file()]
    for path in files or [source / part]:
        target = destination / path.relative_to(source)
        if path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)


@pytest.fixture
def publish(client):
    """Publishes version after version, of two names, one made from the other."""

    def publish_one() -> None:
        number = client.register_artifact("shop/Orders", {"a": b"same", "b": os.urandom(8)}).version
        client.register_artifact("model", f"{number}".encode(), inputs=[f"shop/Orders@{number}"])
        client.set_alias("model", "best", "latest")

    publish_one()
    return publish_one


def test_a_copy_in_that_order_is_whole_although_others_publish_between_the_steps(store_folder, tmp_path, publish):
    there = tmp_path / "copy"
    for step in STEPS:
        with pytest.raises(StoreNotFoundError):
            MetaMLFlowClient(there).get_artifact("model")
        copy(step, store_folder, there)
        publish()
    copied = MetaMLFlowClient(there)
    assert copied.verify_all()
    assert copied.get_artifact("model").version == STEPS.index("artifacts") + 1
    assert copied.get_artifact("model@best").read_bytes()


def test_a_copy_is_brought_up_to_date_while_it_is_read(store_folder, tmp_path, publish):
    there = tmp_path / "copy"
    for step in STEPS:
        copy(step, store_folder, there)
    publish()
    for step in ("features", "blobs", *STEPS):
        assert MetaMLFlowClient(there).verify_all()
        copy(step, store_folder, there)
    assert MetaMLFlowClient(there).get_artifact("model").version == 2
    assert MetaMLFlowClient(there).verify_all()


def test_in_the_order_of_the_keys_the_copy_is_a_store_without_its_bytes_for_a_while(store_folder, tmp_path, publish):
    there = tmp_path / "copy"
    for step in ("artifacts", "edges", "metamlflow.json"):
        copy(step, store_folder, there)
    assert not MetaMLFlowClient(there).get_artifact("model").verify()


@pytest.mark.parametrize("when", STEPS)
def test_a_list_of_features_goes_along_whenever_it_is_made(store_folder, tmp_path, publish, when):
    there = tmp_path / "copy"
    for place, step in enumerate(STEPS):
        if place == STEPS.index(when):
            put(store_folder, key_of(1), list_of(write=("protections",)))
        copy(step, store_folder, there)
    if when == "metamlflow.json":
        return  # after the last look at the features: nothing relies on it for a grace
    assert MetaMLFlowClient(there).get_artifact("model").version == 1
    with pytest.raises(StoreFormatError, match="protections"):
        MetaMLFlowClient(there).register_artifact("model", b"2")
