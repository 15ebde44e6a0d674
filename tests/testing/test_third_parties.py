"""Backends that others bring: the one of the docs and the toy package keep the promises, and are found."""

import ast
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOY = ROOT / "examples" / "toy_backend"
SUITE_LENGTH = 80


def run_pytest(path, cwd, **variables):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", str(path)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, timeout=110, check=False
    )


def assert_passed(run):
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", run.stdout.splitlines()[-1])}
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-5000:]
    assert counts["passed"] > SUITE_LENGTH
    assert set(counts) == {"passed"}, "nothing is skipped: such backends can be raced by processes"


def lines_of_code(source):
    """How many lines hold more than a comment or a text for readers."""
    tree = ast.parse(source)
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    silent = {number for text in texts for number in range(text.lineno, text.end_lineno + 1)}
    lines = enumerate(source.splitlines(), 1)
    return sum(1 for number, line in lines if number not in silent and line.strip() and line.strip()[0] != "#")


@pytest.mark.full
def test_the_backend_of_the_docs_passes_the_suite(tmp_path):
    page, _, lakes = (ROOT / "docs/backends.md").read_text().partition("## Teaching a scheme to pointers")
    assert lakes  # they are no backends
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "test_docs.py").write_text("\n".join(blocks))
    assert_passed(run_pytest("test_docs.py", tmp_path))


@pytest.mark.full
def test_the_toy_backend_passes_the_suite():
    assert_passed(run_pytest("tests", TOY, PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=str(TOY / "src")))


def test_a_backend_on_the_base_has_half_the_lines_of_the_same_without_it():
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/backends.md").read_text(), re.MULTILINE | re.DOTALL)
    [on_the_base] = [block for block in blocks if "class VaultRequests" in block]
    without = [path.read_text() for path in (TOY / "src").rglob("*.py")]
    assert "sqlite3.connect" in on_the_base
    assert "sqlite3.connect" in "".join(without)
    assert 2 * lines_of_code(on_the_base) <= sum(map(lines_of_code, without))


USE_INSTALLED = """
import sys
import fsspec
from metamlflow.backend import open_backend
from metamlflow.errors import AlreadyExistsError

backend = open_backend(f"toy://{sys.argv[1]}/store.toy", {})
backend.create("a/b.txt", b"found")
try:
    backend.create("a/b.txt", b"again")
except AlreadyExistsError:
    print(fsspec.open(backend.url_of("a/b.txt")).open().read())
"""


@pytest.mark.full
def test_an_installed_package_is_found_by_its_scheme(tmp_path):
    if not (find_spec("pip") and find_spec("hatchling")):
        pytest.skip("installing the toy backend offline needs pip and hatchling")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    site = tmp_path / "site"
    subprocess.run([*pip, "--target", str(site), str(TOY)], check=True, timeout=100, capture_output=True)
    child = subprocess.run(
        [sys.executable, "-c", USE_INSTALLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.stdout == "b'found'\n", child.stderr


def test_without_it_the_installed_schemes_are_named(tmp_path):
    code = 'from metamlflow.backend import open_backend; open_backend("nowhere://x", {})'
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "no backend is installed for 'nowhere://x'" in child.stderr
    assert "file://" in child.stderr
