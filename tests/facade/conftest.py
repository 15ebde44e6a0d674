from __future__ import annotations

import pytest


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """The folder for temporary files, so that a test sees what is left there."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("METAMLFLOW_TMPDIR", str(folder))
    return folder
