"""Retention policies: kept in the store, one list after the other, and applied by whoever is told to."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from metamlflow.errors import (
    ArtifactNotFoundError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    StoreFormatError,
    StoreNotFoundError,
)
from metamlflow.model.conditions import Condition


@pytest.fixture
def shop(client):
    for name in ("checkpoints/a", "checkpoints/b/c", "models/a"):
        for number in range(4):
            client.register_artifact(name, b"%d" % number, metadata={"n": number})
    return client


def record(store_folder, number: int) -> dict:
    return json.loads((store_folder / f"policies/{9_999_999_999 - number}.json").read_bytes())


def write(store_folder, number: int, document: dict) -> None:
    folder = store_folder / "policies"
    folder.mkdir(exist_ok=True)
    path = folder / f"{9_999_999_999 - number}.json"
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(document))


def left(shop) -> dict[str, list[int]]:
    return {name: shop.list_versions(name) for name in shop.list_names()}


ORIGIN = {"format": 1, "record_id": "0" * 32, "created_at": "2026-01-31T12:00:00Z", "created_by": "eve"}
ITEM = {"pattern": "**", "keep_last": 1, "created_at": "2026-01-31T12:00:00Z", "created_by": "eve"}


def test_each_change_is_a_record_of_all_policies(shop, store_folder, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_USER", "ada")
    first = shop.set_policy("checkpoints/*", keep_last=3, older_than=timedelta(days=2), note="disk")
    shop.set_policy("models/*", where="metadata.n < 2")
    assert [str(policy.pattern) for policy in shop.policies()] == ["checkpoints/*", "models/*"]
    shop.set_policy("checkpoints/*", keep_last=2)
    assert [str(policy.pattern) for policy in shop.policies()] == ["models/*", "checkpoints/*"]
    removed = shop.remove_policy("models/*")
    assert removed.rules.where == "metadata.n < 2"
    assert [len(record(store_folder, number)["policies"]) for number in (1, 2, 3, 4)] == [1, 2, 2, 1]
    assert record(store_folder, 1)["policies"] == [
        {
            "pattern": "checkpoints/*",
            "keep_last": 3,
            "older_than_seconds": 172_800,
            "note": "disk",
            "created_by": "ada",
            "created_at": first.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
    ]


def test_setting_prunes_nothing_and_applying_prunes_what_they_say_and_why(shop):
    shop.set_policy("checkpoints/*", keep_last=2, note="disk")
    assert left(shop)["checkpoints/a"] == [1, 2, 3, 4]
    plan = shop.apply_policies(dry_run=True)
    assert [decision.ref for decision in plan.pruned] == ["checkpoints/a@1", "checkpoints/a@2"]
    assert {decision.reason for decision in plan.pruned} == {"policy 'checkpoints/*': keep_last=2"}
    assert left(shop)["checkpoints/a"] == [1, 2, 3, 4]
    assert shop.apply_policies()
    assert left(shop) == {"checkpoints/a": [3, 4], "checkpoints/b/c": [1, 2, 3, 4], "models/a": [1, 2, 3, 4]}
    assert shop.apply_policies().pruned == []


def test_of_several_that_fit_the_closest_decides_alone(shop):
    shop.set_policy("**", keep_last=1)
    shop.set_policy("checkpoints/**", keep_last=3)
    shop.set_policy("checkpoints/a", keep_last=4)
    assert shop.apply_policies()
    assert left(shop) == {"checkpoints/a": [1, 2, 3, 4], "checkpoints/b/c": [2, 3, 4], "models/a": [4]}


def test_of_equally_close_ones_the_one_that_was_set_last_decides(shop):
    shop.set_policy("models/*", keep_last=1)
    shop.set_policy("models/**", keep_last=2)
    assert shop.apply_policies("models/*")
    assert left(shop)["models/a"] == [3, 4]
    shop.set_policy("models/*", keep_last=1)
    assert shop.apply_policies("models/a")
    assert left(shop)["models/a"] == [4]


def test_only_the_names_that_are_given_are_looked_at(shop):
    shop.set_policy("**", keep_last=1)
    assert shop.apply_policies("models/*")
    assert left(shop) == {"checkpoints/a": [1, 2, 3, 4], "checkpoints/b/c": [1, 2, 3, 4], "models/a": [4]}


def test_without_policies_nothing_is_done(shop):
    report = shop.apply_policies()
    assert report.ok
    assert report.decisions == []


def test_of_many_who_set_policies_at_once_all_are_kept(shop):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: shop.set_policy(f"p{number}/*", keep_last=1), range(16)))
    assert len(shop.policies()) == 16


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"keep_last": 0},
        {"older_than": timedelta(milliseconds=1500)},
        {"where": "x <"},
        {"keep_last": 1, "note": "é" * 2_501},
    ],
    ids=str,
)
def test_a_policy_that_makes_no_sense_is_refused(shop, store_folder, wrong):
    with pytest.raises(InvalidInputError):
        shop.set_policy("a/*", **wrong)
    with pytest.raises(InvalidNameError):
        shop.set_policy("a b", keep_last=1)
    assert not (store_folder / "policies").exists()


def test_a_policy_that_is_not_there_cannot_be_removed_and_the_error_names_those_that_are(shop):
    with pytest.raises(NotFoundError, match="no policy for 'a/"):
        shop.remove_policy("a/*")
    shop.set_policy("b/*", keep_last=1)
    with pytest.raises(NotFoundError) as caught:
        shop.remove_policy("a/*")
    assert "'b/*'" in caught.value.hint


def test_fields_of_a_later_version_are_kept_and_keep_a_policy_from_being_applied(shop, store_folder):
    """Rules are joined by "and": one that is not known would keep what is pruned without it."""
    later = ITEM | {"keep_tagged": "gold"}
    write(store_folder, 1, ORIGIN | {"policies": [later], "order": "mine"})
    report = shop.apply_policies()
    assert report.pruned == []
    assert "a rule that this library does not know: keep_tagged" in report.kept[0].reason
    shop.set_policy("models/*", keep_last=1)
    assert record(store_folder, 2)["order"] == "mine"
    assert record(store_folder, 2)["policies"][0] == later | {"created_at": "2026-01-31T12:00:00.000000Z"}
    assert [decision.name for decision in shop.apply_policies().pruned] == ["models/a"] * 3


@pytest.mark.parametrize("where", ["metadata.n ~ 3", "nobody < 1", ""])
def test_a_condition_of_a_later_version_keeps_a_policy_from_being_applied(shop, store_folder, where):
    write(store_folder, 1, ORIGIN | {"policies": [ITEM | {"where": where}]})
    report = shop.apply_policies()
    assert report.pruned == []
    assert "is not applied: where: " in report.kept[0].reason


DAMAGED = {
    "no JSON": None,
    "no policies": {"policies": ...},
    "an object": {"policies": {}},
    "a policy of no pattern": {"policies": [{"keep_last": 1}]},
    "a policy of a wrong pattern": {"policies": [ITEM | {"pattern": "a b"}]},
    "a number that is none": {"policies": [ITEM | {"keep_last": "3"}]},
    "nothing to keep": {"policies": [ITEM | {"keep_last": 0}]},
    "an age below zero": {"policies": [ITEM | {"older_than_seconds": -1}]},
    "an age with a fraction": {"policies": [ITEM | {"older_than_seconds": 1.5}]},
    "one pattern twice": {"policies": [ITEM, ITEM]},
    "too many": {"policies": [ITEM | {"pattern": f"p{n}"} for n in range(1_001)]},
    "a newer format": {"format": 2, "policies": [ITEM]},
    "no author": {"created_by": ..., "policies": [ITEM]},
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_list_is_an_error_and_none_before_it_holds_instead(shop, store_folder, damage):
    shop.set_policy("**", keep_last=1)
    said = DAMAGED[damage]
    document = ORIGIN | (said or {})
    write(store_folder, 2, {key: value for key, value in document.items() if value is not ...})
    if said is None:
        write(store_folder, 2, ["x"])
    for call in (shop.policies, shop.apply_policies, lambda: shop.set_policy("a", keep_last=1)):
        with pytest.raises(StoreFormatError):
            call()
    assert left(shop)["models/a"] == [1, 2, 3, 4]


def test_policies_and_protections_are_known_to_a_collector(shop):
    from metamlflow.store.catalog.unknown import refuse_unknown

    shop.set_policy("a/*", keep_last=1)
    shop.protect("models/a@1")
    shop.unprotect("models/a@1")
    refuse_unknown(shop._store)
    shop._store.backend.create("policies/x", b"?")
    with pytest.raises(StoreFormatError, match="policies/x"):
        refuse_unknown(shop._store)


def test_where_there_is_no_store_none_is_made(tmp_path):
    from metamlflow import MetaMLFlowClient

    client = MetaMLFlowClient(tmp_path / "nothing")
    for call in (client.policies, client.apply_policies, lambda: client.set_policy("a", keep_last=1)):
        with pytest.raises(StoreNotFoundError):
            call()
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.set_policy("models/*", where="metadata.n == '\ud800'"),
        lambda c: c.set_policy("models/*", where="metadata['\udcff'] == 1"),
        lambda c: c.set_policy("models/*", keep_last=1, note="\ud800"),
        lambda c: c.set_policy("models/\ud800", keep_last=1),
        lambda c: c.prune("models/*", where="name == '\udfff'"),
        lambda c: c.protect("models/a@1", "\ud800"),
        lambda c: c.unprotect("models/a@1", "\ud800"),
        lambda c: c.restore("models/a@1", note="\ud800"),
    ],
)
def test_a_text_that_is_no_unicode_is_refused_and_nothing_is_written(shop, store_folder, call):
    before = sorted(store_folder.rglob("*"))
    with pytest.raises((InvalidInputError, InvalidNameError)) as caught:
        call(shop)
    str(caught.value).encode()
    assert sorted(store_folder.rglob("*")) == before


def test_protections_of_a_name_that_does_not_exist_are_an_error_and_no_empty_list(shop):
    assert shop.protections("models/a") == []
    assert shop.protections() == []
    for name in ("model/a", "models"):
        with pytest.raises(ArtifactNotFoundError, match=f"there is no artifact '{name}'"):
            shop.protections(name)


def test_protections_of_a_name_that_vanished_are_listed(shop, store_folder):
    shop.protect("models/a@1", "mine")
    shutil.rmtree(store_folder / "artifacts" / "models")
    assert [found.note for found in shop.protections("models/a")] == ["mine"]


def test_the_condition_of_a_policy_is_parsed_once_for_all_names(shop, monkeypatch):
    where = "metadata.n < 1000 and version != 77"
    parsed = []
    parse = Condition.parse
    monkeypatch.setattr(Condition, "parse", lambda *args: parsed.append(args[0]) or parse(*args))
    shop.set_policy("**", where=where)
    assert len(shop.apply_policies(dry_run=True).pruned) == 9
    assert parsed == [where]
