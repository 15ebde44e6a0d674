"""Inspects what would be published: ``inspect_dist.py FOLDER [TAG]``. Exits with 1 and says why."""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

PACKAGES = {"metamlflow", "metamlflow_gcs", "metamlflow_http", "metamlflow_local", "metamlflow_s3"}
NEEDED = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "src", "backends", "tests", "docs"}


def problems_of(folder: Path, tag: str | None) -> list[str]:
    """Return everything that is wrong with the wheel and the archive in a folder."""
    wheels, archives = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    if (len(wheels), len(archives)) != (1, 1):
        return [f"{folder} holds {len(wheels)} wheels and {len(archives)} archives, and should hold one of each"]
    return [*_wheel_problems(wheels[0], tag), *_archive_problems(archives[0])]


def _wheel_problems(wheel: Path, tag: str | None) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = Parser().parsestr(archive.read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode())
        entry_points = archive.read(next(n for n in names if n.endswith("/entry_points.txt"))).decode()
        marker = archive.read("metamlflow/__init__.py").decode()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    version = metadata["Version"]
    stated = re.search(r'__version__ = "([^"]+)"', marker)
    found = []
    if tops != PACKAGES:
        found.append(f"the wheel holds {sorted(tops)}, and should hold {sorted(PACKAGES)}")
    if stated is None or stated[1] != version:
        found.append(f"the wheel's version is {version}, and the package says {stated and stated[1]}")
    if "metamlflow/py.typed" not in names:
        found.append("the wheel has no metamlflow/py.typed: its types would be ignored")
    if stray := [name for name in names if re.search(r"__pycache__|\.pyc$|/tests?/", name)]:
        found.append(f"the wheel holds {stray[:5]}")
    if "metamlflow.cli:main" not in entry_points or "metamlflow_s3" not in entry_points:
        found.append("the wheel's entry points lack the command or a backend")
    if not metadata["License-Expression"] or not metadata.get_all("Project-URL"):
        found.append("the wheel's metadata lack the license or the project's addresses")
    if tag is not None and tag != f"v{version}":
        found.append(f"the tag is {tag}, and the version {version}")
    return found


def _archive_problems(archive: Path) -> list[str]:
    with tarfile.open(archive) as opened:
        tops = {parts[1] for name in opened.getnames() if len(parts := name.split("/")) > 1}
    return [f"the archive lacks {sorted(NEEDED - tops)}"] if tops < NEEDED or NEEDED - tops else []


def main() -> int:
    """Print what is wrong; return the exit code."""
    problems = problems_of(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)  # noqa: PLR2004 (an optional tag)
    print("\n".join(problems) or "The wheel and the archive are as they should be.")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
