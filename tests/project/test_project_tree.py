"""The tree is what it says it is: what stands at its top, what its versions are, what CI installs."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from importlib.metadata import version

import pytest
from checkout import ROOT, files
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import metamlflow

ALLOWED = {
    "pyproject.toml",
    "src",
    "backends",
    "tests",
    "localstack",
    "README.md",
    "docs",
    "benchmarks",
    "examples",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
}

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONSTRAINTS = (ROOT / ".ci/constraints.txt").read_text("utf-8").splitlines()


def requirements() -> list[Requirement]:
    """What the project asks for, its own extras resolved."""
    project = PYPROJECT["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    lines += PYPROJECT["build-system"]["requires"]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != "metamlflow"]


def test_the_top_level_holds_only_what_the_layout_knows() -> None:
    tops = {path.split("/")[0] for path in files()}
    assert {top for top in tops if not top.startswith(".")} <= ALLOWED


def test_no_name_says_nothing() -> None:
    vague = {"utils", "util", "common", "helpers", "helper", "base", "manager", "handler", "misc"}
    parts = {part.removesuffix(".py") for path in files() if path.endswith(".py") for part in path.split("/")}
    assert not parts & vague


def test_the_version_is_the_same_wherever_it_is_said() -> None:
    assert metamlflow.__version__ == PYPROJECT["project"]["version"]
    assert version("metamlflow") == metamlflow.__version__


def test_the_changelog_begins_with_this_version_or_with_what_is_unreleased() -> None:
    newest = re.search(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    assert newest[1] in {"Unreleased", metamlflow.__version__}


def test_constraints_are_names_and_versions_alone() -> None:
    assert CONSTRAINTS
    assert [line for line in CONSTRAINTS if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)] == []


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_ci_installs_a_version_that_the_metadata_allows(requirement: Requirement) -> None:
    pinned = {canonicalize_name(name): number for name, number in (line.split("==") for line in CONSTRAINTS)}
    assert pinned[canonicalize_name(requirement.name)] in requirement.specifier


def test_ci_runs_the_command_that_the_readme_gives() -> None:
    marked = re.findall(
        r"^<!-- test command -->\n(?:<!-- not run: .+ -->\n)?\n?```sh\n(.*?)^```$",
        (ROOT / "README.md").read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert marked == ["python -m pip install -e '.[test]' && python -m pytest\n"]


def test_the_ci_script_is_executable_and_parses() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)
