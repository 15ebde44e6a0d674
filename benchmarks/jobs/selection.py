"""Which tools take part: each is tried, and one that cannot run is named with the reason."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from jobs.tools import PythonTool, Rclone, S5cmd, Tool, UnavailableError

OURS = "metamlflow"
NAMES = (OURS, "obstore", "s5cmd", "rclone", "pins", "DVC", "MLflow")
NO_VERSIONS = "it keeps no versions"


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that say where each tool is."""
    for name in (OURS, "obstore", "pins", "DVC", "MLflow"):
        parser.add_argument(
            f"--python-{name.lower()}",
            metavar="PATH",
            type=absolute,
            default=Path(sys.executable),
            help=f"a Python that has {name} (default: this one)",
        )
    for name in ("s5cmd", "rclone"):
        parser.add_argument(f"--{name}", metavar="PATH", type=absolute, help="the program (default: looked for)")


def choose(arguments: argparse.Namespace, names: list[str]) -> tuple[dict[Tool, dict[str, str]], dict[str, str]]:
    """Return the tools that can run, each with its versions, and the others' names with the reason."""
    found: dict[Tool, dict[str, str]] = {}
    skipped = {}
    for name in names:
        try:
            tool = _tool(name, arguments)
            found[tool] = tool.versions()
        except UnavailableError as error:
            skipped[name] = str(error)
    return found, skipped


def _tool(name: str, arguments: argparse.Namespace) -> Tool:
    if name == "s5cmd":
        return S5cmd(program(name, arguments.s5cmd))
    if name == "rclone":
        return Rclone(program(name, arguments.rclone))
    return _python_tool(name, getattr(arguments, f"python_{name.lower()}"))


def _python_tool(name: str, python: Path) -> PythonTool:
    script = f"with_{name.lower()}.py"
    if name == OURS:
        packages = ("metamlflow", "s3fs", "aiobotocore", "obstore")
        return PythonTool(name, script, python, ("metamlflow", "s3fs"), packages, prepares=True)
    if name == "obstore":
        missing = dict.fromkeys(("republish", "tiny"), NO_VERSIONS)
        return PythonTool(name, script, python, ("obstore.store",), ("obstore",), missing=missing)
    if name == "pins":
        return PythonTool(name, script, python, ("pins", "s3fs"), ("pins", "s3fs"))
    if name == "DVC":
        missing = {"tiny": "it keeps its versions in git, outside the bucket"}
        modules = ("dvc.cli", "dvc_s3", "s3fs")
        return PythonTool(name, script, python, modules, ("dvc", "dvc-s3", "s3fs"), prepares=True, missing=missing)
    return PythonTool(name, script, python, ("mlflow", "boto3"), ("mlflow", "boto3"), prepares=True)


def program(name: str, given: Path | None) -> Path:
    """Return a program itself, not the script that a Python package of the same name puts before it.

    Raises:
        UnavailableError: there is none.
    """
    beside = Path(sys.executable).with_name(name)  # in a virtual environment that may not be active
    found = given or (beside if beside.exists() else shutil.which(name))
    if found is None:
        raise UnavailableError(f"no program {name} was found; name one with --{name}")
    packaged = Path(found).parents[1].glob(f"lib/python*/site-packages/{name}/bin/{name}")
    return next(packaged, Path(found))


def absolute(path: str) -> Path:
    """Return the path as other processes in other folders find it."""
    # Not resolved: a Python of a virtual environment is a link to another one.
    return Path(path).absolute()
