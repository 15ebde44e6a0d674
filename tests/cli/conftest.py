"""A folder to work in, with a store beside the files, and the command line called in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from metamlflow.cli.entry import run


@dataclass(frozen=True)
class Answer:
    """How a call ended, and what it wrote."""

    code: int
    out: str
    err: str


Ask = Callable[..., Answer]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, made the current one; the store of its calls is the folder ``store`` in it."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in list(os.environ):
        if name.startswith("METAMLFLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("METAMLFLOW_STORAGE_URI", "./store")
    monkeypatch.setenv("METAMLFLOW_USER", "ada")
    return folder


@pytest.fixture
def ask(work: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Calls the command line in the folder ``work``."""

    def _ask(*arguments: str) -> Answer:
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return _ask


@pytest.fixture
def rides(work: Path, ask: Ask) -> Path:
    """A file that is registered as ``bikes/rides@1``, a dataset with metadata."""
    file = work / "rides.csv"
    file.write_text("day,rides\n1,200\n2,180\n", encoding="utf-8")
    answer = ask("register", "bikes/rides", "rides.csv", "--type", "dataset", "--meta", "rows=2", "--meta", "city=Ulm")
    assert answer.code == 0, answer.err
    return file
