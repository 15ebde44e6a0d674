"""A store whose time a test moves."""

from __future__ import annotations

import pytest
from aging_store import AgingStore


@pytest.fixture
def store() -> AgingStore:
    return AgingStore()
