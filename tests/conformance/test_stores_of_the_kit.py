"""The stores of the kit, asked everything: the product, the second reader and the committed answers agree."""

from __future__ import annotations

import json
import random
import secrets
import shutil
from pathlib import Path

import pytest
from kit.mutations import damage_store
from product_answers import Answers, copied
from reader.store import answers

KIT = Path(__file__).resolve().parents[2] / "docs" / "conformance"
STORES = sorted(path.name for path in (KIT / "stores").iterdir())


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def committed(name: str) -> dict:
    return json.loads((KIT / "answers" / f"{name}.json").read_bytes())


def leaves(value) -> int:
    if isinstance(value, dict | list):
        return sum(map(leaves, value.values() if isinstance(value, dict) else value))
    return 1


@pytest.mark.parametrize("name", STORES)
def test_the_second_reader_gives_the_committed_answers(name):
    assert answers(KIT / "stores" / name) == committed(name)


@pytest.mark.parametrize("name", STORES)
def test_the_product_gives_the_committed_answers_and_writes_nothing(name, tmp_path):
    copy = copied(KIT / "stores" / name, tmp_path / name)
    assert Answers(copy).all() == committed(name)
    assert files_of(copy) == files_of(KIT / "stores" / name)


def agree_without(name: str, keys: list[str], folder: Path) -> None:
    """The product and the second reader still agree when a store has lost a record, and so with each of these."""
    for key in keys:
        copy = copied(KIT / "stores" / name, folder / name)
        (copy / key).unlink()
        assert answers(copy) == Answers(copy).all(), key
        shutil.rmtree(copy)


def records_of(name: str) -> list[str]:
    return [key for key in sorted(files_of(KIT / "stores" / name)) if not key.startswith("blobs/")]


@pytest.mark.full
@pytest.mark.parametrize("name", STORES)
def test_a_store_that_has_lost_a_record_is_read_alike(name, tmp_path):
    """So no answer is one that would be given anyway. Three records of each store; the next test takes every one."""
    keys = records_of(name)
    agree_without(name, keys[1 :: max(len(keys) // 3, 1)][:3], tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name", STORES)
def test_a_store_that_has_lost_any_record_is_read_alike(name, tmp_path):
    agree_without(name, records_of(name), tmp_path)


def agree_when_damaged(seed: int, count: int, folder: Path) -> None:
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        name = chance.choice(STORES)
        copy = copied(KIT / "stores" / name, folder / name)
        told = damage_store(copy, chance)
        assert answers(copy) == Answers(copy).all(), (seed, number, name, told)
        shutil.rmtree(copy)


@pytest.mark.full
def test_a_store_whose_records_are_lost_changed_mixed_up_and_added_is_read_alike(tmp_path):
    agree_when_damaged(14, 40, tmp_path)


@pytest.mark.full
def test_so_it_is_with_damage_that_nobody_saw_before(tmp_path):
    agree_when_damaged(secrets.randbits(32), 400, tmp_path)


def test_the_answers_are_of_every_kind():
    every = {name: committed(name) for name in STORES}
    assert sum(map(leaves, every.values())) > 1_000
    assert {said["marker"] if isinstance(said["marker"], str) else "read" for said in every.values()} == {
        "read",
        "refused",
        "missing",
    }
    versions = [
        version
        for said in every.values()
        for artifact in said.get("artifacts", {}).values()
        if artifact != "refused"
        for version in artifact["versions"].values()
    ]
    there = [version for version in versions if "erased" not in version]
    states = [version["state"] for version in there if isinstance(version["state"], dict)]
    assert {said["state"] for said in states} == {"pruned", "restored", "absent"}
    assert {said["speaks_of_it"] for said in states} == {True, False}
    assert {version["state"] for version in there if version["state"] not in states} == {None, "refused"}
    assert {version["live"] for version in there} == {True, False, "refused"}
    manifests = [version["manifest"] for version in there if version["manifest"] != "refused"]
    assert {manifest["previous_agrees"] for manifest in manifests} == {None, True, False, "refused"}
    items = [item for manifest in manifests for item in manifest["items"]]
    assert {item.get("content") for item in items} == {None, "verified", "missing", "not what it was"}
    assert {item.get("evidence") for item in items} == {None, "stat", "checksum", "full"}
    assert any(item.get("executable") for item in items)
    assert any(item.get("folder") for item in items)
    signatures = [good for version in there for good in version["signatures"].values()]
    assert {True, False} <= set(signatures)


def test_the_answers_tell_of_all_that_came_last():
    every = {name: committed(name) for name in STORES}
    opened = [said for said in every.values() if "opens_for" in said]
    assert {said["opens_for"] for said in opened} == {"writing", "reading", "nothing"}
    assert {type(said["features"]) for said in opened} == {dict, str, type(None)}
    assert any(said["opens_for"] == "writing" and said["collector"]["features"] for said in opened)
    artifacts = [one for said in opened for one in said.get("artifacts", {}).values() if one != "refused"]
    assert {type(one["latest"]) for one in artifacts} == {int, str, type(None)}
    claims = [claim for one in artifacts for claim in one["claims"].values() if claim != "refused"]
    assert {claim["standing"] for claim in claims} == {"open", "done", "dead", "spent", "refused"}
    versions = [version for one in artifacts for version in one["versions"].values()]
    erased = [version for version in versions if "erased" in version]
    assert {version["manifest_lies_there"] for version in erased} == {True, False}
    agree = [version["erased"]["previous_agrees"] for version in erased if version["erased"] != "refused"]
    assert {None, True, False} <= set(agree)
    assert len(agree) < len(erased)
    notes = [one["notes"] for one in (*artifacts, *versions) if "notes" in one]
    assert {type(told["newest"]) for told in notes} == {dict, str, type(None)}
    assert any("refused" in told["history"].values() and told["newest"] != "refused" for told in notes)
    assert any(said.get("hidden") for said in opened)
    assert any(said["collector"]["frees"] for said in opened)
    assert any(said["collector"]["buries"] for said in opened)
    assert any(said["collector"]["missing"] for said in opened)
    assert any(said["collector"]["not_whole"] for said in opened)
    assert any(said["collector"]["vanished"] for said in opened)
    for kind in ("policies", "collection"):
        assert {type(said[kind]) for said in opened if kind in said} == {dict, str, type(None)}
    protections = [one for said in opened for one in said.get("protections", ())]
    assert {type(one["record"]) for one in protections} == {dict, str}


def test_the_stores_hold_every_kind_of_record():
    from reader.keys import record_of

    kinds = {record_of(key)["kind"] for name in STORES for key in files_of(KIT / "stores" / name)}
    assert kinds == {
        *("marker", "name", "manifest", "state", "alias", "claim", "blob", "edge", "run start", "run input", "run end"),
        *("distributions", "signature", "relocation", "ignored", "refused", "tomb", "hiding", "note", "features"),
        *("policies", "protection", "end of a protection", "collection"),
    }
