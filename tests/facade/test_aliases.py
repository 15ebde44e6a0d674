"""Aliases: names for versions, moved by a record each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from metamlflow.errors import ArtifactNotFoundError, InvalidNameError


@pytest.fixture
def three(client):
    for number in range(3):
        client.register_artifact("model", str(number).encode())
    return client


def test_an_alias_stands_for_a_version_until_it_is_moved_or_removed(three):
    three.set_alias("model", "production", 1)
    assert three.get_artifact("model", "production").version == 1
    three.set_alias("model", "production", "latest")
    three.register_artifact("model", b"newer")
    assert three.get_artifact("model@production").version == 3
    three.set_alias("model", "previous", "production")
    three.set_alias("model", "production", None)
    assert three.get_artifact("model", "previous").version == 3
    with pytest.raises(ArtifactNotFoundError, match="no alias 'production'"):
        three.get_artifact("model", "production")


def test_each_move_is_a_record_of_its_own(three, store_folder):
    for version in (1, 2, 1):
        three.set_alias("model", "Best", version)
    records = sorted(path.name for path in (store_folder / "artifacts/model/_aliases/!best").iterdir())
    assert records == ["9999999996.json", "9999999997.json", "9999999998.json"]


@pytest.mark.parametrize("alias", ["latest", "7", "v7", "a/b", "", "ä", "-x"])
def test_what_could_be_taken_for_something_else_is_no_alias(three, alias):
    with pytest.raises(InvalidNameError):
        three.set_alias("model", alias, 1)


@pytest.mark.parametrize(("name", "version"), [("model", 9), ("modell", 1), ("modell", None), ("model", "nothing")])
def test_an_alias_of_nothing_is_refused(three, name, version):
    with pytest.raises(ArtifactNotFoundError):
        three.set_alias(name, "production", version)


def test_of_many_who_move_an_alias_at_once_all_are_recorded_and_one_holds(three, store_folder):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: three.set_alias("model", "raced", number % 3 + 1), range(24)))
    assert len(list((store_folder / "artifacts/model/_aliases/raced").iterdir())) == 24
    assert three.get_artifact("model", "raced").version in {1, 2, 3}


def test_v_and_a_number_is_that_number(three):
    assert three.get_artifact("model@v2").version == three.get_artifact("model", "v2").version == 2


def test_a_mistyped_alias_is_told_the_near_one_and_not_one_that_was_removed(three):
    three.set_alias("model", "production", 1)
    three.set_alias("model", "production", 2)
    three.set_alias("model", "productive", 2)
    three.set_alias("model", "productive", None)
    with pytest.raises(ArtifactNotFoundError) as caught:
        three.get_artifact("model@prodction")
    assert caught.value.hint == "Did you mean 'production'? It has the alias 'production', and the versions 3, 2, 1."
    assert caught.value.suggestions == ("production", "3", "2", "1")


def test_a_damaged_alias_does_not_hide_that_another_does_not_exist(three, store_folder):
    three.set_alias("model", "production", 1)
    (record,) = (store_folder / "artifacts/model/_aliases/production").iterdir()
    record.chmod(0o644)
    record.write_bytes(b"no JSON")
    with pytest.raises(ArtifactNotFoundError, match="no alias 'prodXction'"):
        three.get_artifact("model@prodXction")


def test_one_version_is_told_as_one(client):
    client.register_artifact("model", b"1")
    with pytest.raises(ArtifactNotFoundError, match=r"It has the version 1\."):
        client.get_artifact("model", 2)
