"""A sound store with records of every kind, built once, and a copy of it to change; a store whose time a test moves."""

from __future__ import annotations

import shutil

import pytest
from aging_store import AgingStore
from planted import Planter, build


@pytest.fixture(scope="session")
def honest(tmp_path_factory):
    """A sound store, to be copied."""
    folder = tmp_path_factory.mktemp("honest") / "store"
    build(folder)
    return folder


@pytest.fixture
def planter(honest, store_folder) -> Planter:
    shutil.copytree(honest, store_folder)
    return Planter(store_folder)


@pytest.fixture
def store() -> AgingStore:
    return AgingStore()
