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
    "changelog.d",
    "mkdocs.yml",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
}
SAID_ONCE = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)

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
    assert "version" in PYPROJECT["project"]["dynamic"]
    assert SAID_ONCE.findall((ROOT / "src/metamlflow/__init__.py").read_text("utf-8")) == [metamlflow.__version__]
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


def test_every_step_of_the_ci_script_is_listed_and_every_listed_step_exists() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    answer = subprocess.run(["bash", ROOT / ".ci/run", "--list"], capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in answer.stdout.splitlines() if line != "--"}
    branches = set(re.findall(r"^    ([a-z]+)\)", script.partition("\none() {")[2], re.MULTILINE))
    assert listed == branches


def test_workflows_call_steps_that_exist() -> None:
    answer = subprocess.run(["bash", ROOT / ".ci/run", "--list"], capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in answer.stdout.splitlines()}
    for workflow in (ROOT / ".github/workflows").glob("*.yml"):
        for steps in re.findall(r"bash \.ci/run([a-z ]*)$", workflow.read_text("utf-8"), re.MULTILINE):
            assert set(steps.split()) <= listed, workflow


def test_every_fragment_of_the_changelog_has_a_type() -> None:
    types = {kind["directory"] for kind in PYPROJECT["tool"]["towncrier"]["type"]}
    fragments = {path.name for path in (ROOT / "changelog.d").iterdir()} - {"README.md", "template.md.jinja"}
    assert {name for name in fragments if not re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(types)})\.md", name)} == set()


def test_the_ci_script_is_executable_and_parses() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)
