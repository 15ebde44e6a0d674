"""The committed kit is what its generator makes, and the second reader is nobody's copy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import make
import pytest

HERE = Path(__file__).resolve().parent
KIT = HERE.parents[1] / "docs" / "conformance"


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.full
def test_making_the_kit_again_gives_the_committed_bytes(tmp_path):
    make.make(tmp_path)
    made, committed = files_of(tmp_path), files_of(KIT)
    del committed["README.md"]
    assert made.keys() == committed.keys()
    assert [name for name in made if made[name] != committed[name]] == []


def test_the_kit_is_small_and_every_disk_takes_its_names():
    committed = files_of(KIT)
    assert sum(map(len, committed.values())) < 2_600_000
    assert len(committed) < 700
    assert len({name.lower() for name in committed}) == len(committed)
    for name in committed:
        assert re.fullmatch(r"[A-Za-z0-9!._@/-]+", name), name
        assert len(name) < 180, name
        assert not any(part.endswith((".", " ")) for part in name.split("/")), name


def test_git_and_the_packers_leave_the_bytes_of_the_kit_alone():
    attributes = (HERE.parents[1] / ".gitattributes").read_text("utf-8")
    assert "docs/conformance/** -text" in attributes.splitlines()


def imports_of(path: Path) -> set[str]:
    """The top names of the modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_the_second_reader_imports_the_standard_library_and_itself_alone():
    found = {name for path in (HERE / "reader").glob("*.py") for name in imports_of(path)}
    assert found - set(sys.stdlib_module_names) == {"reader"}
    assert not found & {"importlib", "runpy", "subprocess"}


def test_the_second_reader_answers_where_the_product_is_not_installed(tmp_path):
    script = "import sys, reader.store, pathlib; print(reader.store.answers(pathlib.Path(sys.argv[1]))['names'])"
    answer = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(HERE)!r}); {script}",
            KIT / "stores/lineage",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert answer.stdout == "['Model', 'raw']\n"
