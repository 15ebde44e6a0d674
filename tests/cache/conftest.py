"""The cache that these tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

from metamlflow.store.cache.file_cache import FileCache


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache", max_bytes=1000)
