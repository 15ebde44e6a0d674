"""What the commands say of a store with features that this release does not know."""

from __future__ import annotations

import json
import shutil

import pytest

from feature_lists import everything_in, key_of, list_of, put

READS = {
    "ls": ("ls",),
    "show": ("show", "model@1"),
    "get": ("get", "model@1", "out"),
    "verify": ("verify", "model@1"),
    "lineage": ("lineage", "model@1"),
    "history": ("history", "model"),
}
WRITES = {
    "init": ("init",),
    "register": ("register", "model", "file.txt"),
    "pointer": ("pointer", "register", "pointed", "file.txt"),
    "migrate": ("migrate", "store", "elsewhere"),
    "repair": ("repair", "model@1", "--from", "file.txt"),
}


@pytest.fixture
def store(ask, work):
    """A store with one version; the folder."""
    (work / "file.txt").write_text("1", encoding="utf-8")
    assert ask("register", "model", "file.txt").code == 0
    return work / "store"


def check_refused(answer) -> None:
    assert answer.code == 1, answer
    assert answer.out == ""
    assert "features/9999999998.json lists features that this library does not know" in answer.err
    assert 'unknown feature "time-travel"' in answer.err
    assert "A newer metamlflow turned them on; update yours." in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("name", READS | WRITES)
def test_a_feature_for_readers_stops_every_command_with_the_advice(ask, store, name):
    put(store, key_of(1), list_of(read=("time-travel",)))
    before = everything_in(store)
    check_refused(ask(*(READS | WRITES)[name]))
    assert everything_in(store) == before
    assert not (store.parent / "elsewhere").exists()


@pytest.mark.parametrize("name", WRITES)
def test_a_feature_for_writers_stops_what_writes_and_says_that_reading_goes_on(ask, store, name):
    put(store, key_of(1), list_of(write=("time-travel",)))
    before = everything_in(store)
    answer = ask(*WRITES[name])
    check_refused(answer)
    assert "Reading works as before; nothing was written." in answer.err
    assert everything_in(store) == before
    assert not (store.parent / "elsewhere").exists()


@pytest.mark.parametrize("name", READS)
def test_a_feature_for_writers_changes_nothing_in_what_reads(ask, store, name):
    expected = ask(*READS[name])
    assert expected.code == 0
    put(store, key_of(1), list_of(write=("time-travel",)))
    shutil.rmtree(store.parent / "out", ignore_errors=True)
    assert ask(*READS[name]) == expected


def found(ask) -> dict[str, tuple[str, str, str | None]]:
    document = json.loads(ask("doctor", "--json").out)
    return {check["name"]: (check["verdict"], check["found"], check["remedy"]) for check in document["checks"]}


def test_the_doctor_shows_them_and_says_what_this_release_can_do(ask, store):
    assert found(ask)["features"] == ("ok", "none turned on", None)
    put(store, key_of(1), list_of(write=("protections",)))
    verdict, told, remedy = found(ask)["features"]
    assert (verdict, told) == (
        "warning", "for readers: none; for writers: protections; this library can read here, and not write",
    )  # fmt: skip
    assert "update yours" in remedy
    put(store, key_of(2), list_of(read=("packs", "zstd"), write=("protections",)))
    verdict, told, _ = found(ask)["features"]
    assert (verdict, told) == (
        "failed",
        "for readers: packs, zstd; for writers: protections; this library can neither read nor write here",
    )
    put(store, key_of(3), b"{")
    assert found(ask)["features"][0] == "failed"


def test_the_doctor_of_a_place_without_a_store_knows_of_none(ask, work):
    assert found(ask)["features"] == ("unknown", "none turned on: there is no store", None)
