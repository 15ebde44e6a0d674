"""Stores to migrate."""

from __future__ import annotations

from pathlib import Path

import pytest
from full_stores import fill

from metamlflow import MetaMLFlowClient


@pytest.fixture
def light_source(tmp_path) -> Path:
    """The same with few files, for what is done ten times."""
    fill(MetaMLFlowClient(tmp_path / "source"), tmp_path / "input", 150)
    return tmp_path / "source"


@pytest.fixture
def source(tmp_path) -> Path:
    fill(MetaMLFlowClient(tmp_path / "source"), tmp_path / "input")
    return tmp_path / "source"
