"""Where the checkout is, and which files it is made of."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (ROOT / "src", ROOT / "backends")


def source_files() -> list[Path]:
    """Every Python file that is shipped."""
    return sorted(path for package in PACKAGES for path in package.rglob("*.py"))


def sources_of_tests() -> list[Path]:
    """Every Python file of the tests, what they share included; the tutorial is verbatim from elsewhere."""
    return sorted(path for path in (ROOT / "tests").rglob("*.py") if path.parent != ROOT / "tests/data")


def files() -> list[str]:
    """Every file of the project, as a path from the root: what git tracks, or what an unpacked archive holds."""
    answer = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    # A folder inside some other repository, and a first commit that is still to be made, list nothing.
    if answer.returncode == 0 and answer.stdout and (ROOT / ".git").exists():
        return sorted(path for path in answer.stdout.decode().split("\0") if path)
    return sorted(
        str(path.relative_to(ROOT))
        for entry in ROOT.iterdir()
        if entry.name not in {"build", "dist"} and not entry.name.startswith((".", "__"))
        for path in ([entry] if entry.is_file() else entry.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    )


def markdown_files() -> list[Path]:
    """Every page of the project, those that git does not know yet included."""
    tops = [*ROOT.glob("*.md"), *(ROOT / name for name in ("src", "backends", "docs", "tests", "localstack"))]
    tops += [ROOT / name for name in ("benchmarks", "examples")]
    pages = {page for top in tops for page in ([top] if top.is_file() else top.rglob("*.md"))}
    return sorted(page for page in pages if page.relative_to(ROOT).parts[:2] != ("tests", "data"))
