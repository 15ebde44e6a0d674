"""Stores to migrate, each filled once for the session, and copied for the test that is given it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from full_stores import MANY, fill

from metamlflow import MetaMLFlowClient


def _filled(folder: Path, many: int = MANY) -> Path:
    fill(MetaMLFlowClient(folder / "source"), folder / "input", many)
    return folder / "source"


@pytest.fixture(scope="session")
def filled_lightly(tmp_path_factory) -> Path:
    return _filled(tmp_path_factory.mktemp("light"), 150)


@pytest.fixture(scope="session")
def filled(tmp_path_factory) -> Path:
    return _filled(tmp_path_factory.mktemp("full"))


@pytest.fixture
def light_source(filled_lightly, tmp_path) -> Path:
    """The same with few files, for what is done ten times."""
    return shutil.copytree(filled_lightly, tmp_path / "source")


@pytest.fixture
def source(filled, tmp_path) -> Path:
    return shutil.copytree(filled, tmp_path / "source")
