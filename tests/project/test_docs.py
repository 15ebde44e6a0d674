"""Every code block of the documentation runs, in the order in which a reader meets it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from markdown_blocks import RUN, blocks_of

from extras import LARGE, need

RUNNER = Path(__file__).with_name("run_page.py")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FIRST_READ = {
    "README.md",
    "docs/tutorial.md",
    "docs/index.md",
}  # these run in the quick tier, the others in the full one
LONGEST_SECONDS = 110  # less than the time limit of a test, so that the output of a page that hangs is shown
IMPORTED_BY = {"client.sql(": "duckdb", ".to_duckdb(": "duckdb"}
"""Calls that import a large package by themselves."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a page's blocks in an empty folder, with nothing of this user's set-up but where Python is."""
    work, home = folder / "work", folder / "home"
    work.mkdir()
    home.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("METAMLFLOW_", "XDG_"))}
    # Not resolved: in a virtual environment the scripts lie beside the link to Python.
    commands = str(Path(sys.executable).parent)
    clean |= {"HOME": str(home), "PATH": os.pathsep.join([commands, os.environ["PATH"]]), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, RUNNER, page],
        cwd=work,
        env=clean,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )


def code_of(page: Path) -> str:
    """All that is run of a page."""
    blocks = blocks_of(page.read_text("utf-8"))
    return "\n".join(block.code for block in blocks if block.language in RUN and block.not_run is None)


def rows() -> list[object]:
    names = {name_of(page): page for page in PAGES if code_of(page)}
    marks = {name: () if name in FIRST_READ else pytest.mark.full for name in names}
    return [pytest.param(page, id=name, marks=marks[name]) for name, page in names.items()]


@pytest.mark.parametrize("page", rows())
def test_every_block_of_the_page_runs(page: Path, tmp_path: Path) -> None:
    code = code_of(page)
    large = LARGE.intersection(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE))
    need(*large, *(package for call, package in IMPORTED_BY.items() if call in code))
    answer = run(page, tmp_path)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_the_page_says_what_it_is(page: Path) -> None:
    assert [block.problem for block in blocks_of(page.read_text("utf-8")) if block.problem] == []


def test_the_readme_shows_code_that_runs() -> None:
    blocks = blocks_of((ROOT / "README.md").read_text("utf-8"))
    assert {block.language for block in blocks if block.not_run is None} >= set(RUN)


# --- the runner itself ------------------------------------------------------------------------------------------------


def page_of(folder: Path, *parts: str) -> Path:
    page = folder / "page.md"
    page.write_text("\n\n".join(parts), encoding="utf-8")
    return page


def python(code: str) -> str:
    return f"```python\n{code}\n```"


def sh(code: str) -> str:
    return f"```sh\n{code}\n```"


def test_blocks_share_a_namespace_a_folder_and_an_order(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        python("from pathlib import Path\nPath('n').write_text('1')"),
        sh("echo 2 >> n"),
        python("assert Path('n').read_text() == '12\\n'\nclass C: pass"),
        python("import pickle\nassert isinstance(pickle.loads(pickle.dumps(C())), C)"),
    )
    answer = run(page, tmp_path)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("block", [python("1 / 0"), sh("false\ntrue"), python("import sys\nsys.exit(3)")])
def test_a_block_that_fails_fails_its_page(block: str, tmp_path: Path) -> None:
    answer = run(page_of(tmp_path, "Some text.", block, sh("echo never seen")), tmp_path)
    assert answer.returncode != 0
    assert "never seen" not in answer.stdout


def test_a_failure_is_shown_with_the_line_of_the_page(tmp_path: Path) -> None:
    answer = run(page_of(tmp_path, "Some text.", python("x = 1\nraise ValueError(x)")), tmp_path)
    assert 'page.md", line 5, in <module>\n    raise ValueError(x)' in answer.stdout


def test_a_block_that_is_marked_as_not_run_is_not_run(tmp_path: Path) -> None:
    answer = run(page_of(tmp_path, "<!-- not run: it needs a bucket -->", python("1 / 0")), tmp_path)
    assert answer.returncode == 0, answer.stdout


def test_commands_of_the_environment_are_found_and_settings_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAMLFLOW_STORAGE_URI", "s3://not-yours")
    page = page_of(
        tmp_path,
        sh(f'test "$(command -v python)" = "{Path(sys.executable).parent}/python"\ntest -z "$METAMLFLOW_STORAGE_URI"'),
    )
    answer = run(page, tmp_path)
    assert answer.returncode == 0, answer.stdout


MARKS = {
    "run": ("text", None),
    "not run": ("<!-- not run: because -->", "because"),
    "not run, a blank line between": ("<!-- not run: because -->\n", "because"),
    "not run, another comment between": ("<!-- not run: because -->\n<!-- test command -->", "because"),
    "not run, over two lines": ("<!-- not run: because\nof this -->", "because\nof this"),
    "not run, for no reason": ("<!-- not run: -->", ""),
    "not run, without a colon": ("<!-- not run -->", ""),
    "run, a comment further up": ("<!-- not run: because -->\nThen this:", None),
}


@pytest.mark.parametrize(("above", "not_run"), MARKS.values(), ids=MARKS)
def test_a_comment_just_above_a_block_is_read(above: str, not_run: str | None) -> None:
    (block,) = blocks_of(f"{above}\n{python('x')}")
    assert block.not_run == not_run
    assert (block.problem is None) == (not_run != "")


@pytest.mark.parametrize("language", ["", "bash", "console", "py", "shell", "Python"])
def test_a_block_cannot_escape_by_its_language(language: str) -> None:
    (block,) = blocks_of(f"```{language}\n1 / 0\n```")
    assert block.problem


def test_fences_are_read_as_markdown_reads_them() -> None:
    page = "- item\n\n  ```python\n  if x:\n      y\n  ```\n\n````text\n```python\nno\n```\n````\n~~~sh\nls"
    found = [(block.language, block.line, block.code) for block in blocks_of(page)]
    assert found == [("python", 4, "if x:\n    y\n"), ("text", 9, "```python\nno\n```\n"), ("sh", 14, "ls\n")]
