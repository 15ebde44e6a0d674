"""The honest store that hostile servers serve, and the process that reads from them.

What an attacker made is read case by case by a watched child: it takes minutes, so the folder is marked ``full``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from honest_store import build
from reading_process import Order, ReadingProcess

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.full)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("honest")
    build(folder / "store", folder / "lake")
    return folder / "store"


@pytest.fixture(scope="module")
def readers():
    with ReadingProcess() as process:
        yield process


@pytest.fixture(scope="module")
def expected(readers, honest, tmp_path_factory):
    """What every call gives on the folder."""
    return readers.run(Order(f"file://{honest}", str(honest), str(tmp_path_factory.mktemp("s"))))
