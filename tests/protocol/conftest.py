"""The worlds that protocol tests run in."""

from __future__ import annotations

import pytest
from worlds import LocalWorld, MemoryWorld, World


@pytest.fixture(params=["memory", "local"])
def world(request: pytest.FixtureRequest, tmp_path) -> World:
    return MemoryWorld() if request.param == "memory" else LocalWorld(tmp_path / "store")
