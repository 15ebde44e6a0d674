"""The honest store that hostile servers serve, and the process that reads from them."""

from __future__ import annotations

import pytest
from honest_store import build
from reading_process import Order, ReadingProcess


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
