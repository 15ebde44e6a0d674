"""Two ways to one store are told apart from two stores by the store's id, however they are spelt."""

from __future__ import annotations

import shutil

import pytest

from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import InvalidInputError


@pytest.fixture
def store(tmp_path):
    MetaMLFlowClient(tmp_path / "store").register_artifact("a", b"1")
    return tmp_path / "store"


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    "spelling",
    [
        str,
        lambda store: f"{store}/",
        lambda store: f"file://{store}",
        lambda store: f"file://{store}/",
        lambda store: f"{store.parent}/./x/../store",
        lambda store: str(store.parent / "link"),
        lambda store: str(store.parent / "link-to-the-folder-above" / "store"),
    ],
    ids=["path", "slash", "url", "url-slash", "dots", "link", "link-above"],
)
def test_a_store_is_not_migrated_into_itself(store, spelling, dry_run):
    (store.parent / "x").mkdir()
    (store.parent / "link").symlink_to(store)
    (store.parent / "link-to-the-folder-above").symlink_to(store.parent)
    with pytest.raises(InvalidInputError, match="the same store"):
        migrate(store, spelling(store), dry_run=dry_run)


def test_a_copy_that_was_made_past_the_library_is_the_same_store(store):
    shutil.copytree(store, store.parent / "copy")
    with pytest.raises(InvalidInputError, match="same store") as caught:
        migrate(store, store.parent / "copy")
    assert "has its id too" in caught.value.hint


def test_what_lies_within_is_refused_before_anything_is_made(store):
    for inner in (store / "inner", store.parent / "link" / "inner"):
        (store.parent / "link").unlink(missing_ok=True)
        (store.parent / "link").symlink_to(store)
        with pytest.raises(InvalidInputError, match="lies within"):
            migrate(store, inner)
    assert not (store / "inner").exists()
