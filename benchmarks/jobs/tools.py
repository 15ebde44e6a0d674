"""What each tool is told to do for a step: the command lines. A tool that lacks a step says why."""

from __future__ import annotations

import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from jobs.running import Command

Step = Literal["prepare", "publish", "republish", "fetch", "tiny", "sweep"]

CHILDREN = Path(__file__).with_name("children")
VERSION_SECONDS = 120


class UnavailableError(Exception):
    """The tool cannot be run here; the message says why."""


@dataclass(frozen=True)
class Place:
    """Where a tool does a series of steps: a prefix of a bucket, and folders.

    Attributes:
        home: a folder that the tool keeps from one series to the next.
        scratch: a folder of this series.
        repeats: how often the small calls are made.
    """

    endpoint: str
    bucket: str
    prefix: str
    region: str
    home: Path
    scratch: Path
    stats_url: str | None
    repeats: int


class Tool(ABC):
    """A way to do the jobs."""

    name: str
    measured: str
    missing: Mapping[str, str]

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Return the versions of what will run.

        Raises:
            UnavailableError: it cannot run.
        """

    @abstractmethod
    def preparation(self, place: Place) -> Command | None:
        """Return what has to run once, untimed, before the first step at a place."""

    @abstractmethod
    def command(self, step: Step, place: Place, source: Path, destination: Path) -> Command:
        """Return what does a step.

        Args:
            step: one that is not missing.
            place: where the bucket is, and the tool's folders.
            source: the file or the folder that is published.
            destination: the folder, not there yet, that is fetched into; of a file, the folder that gets it.
        """


@dataclass(frozen=True, eq=False)
class PythonTool(Tool):
    """A Python library, called by a script among the children; its imports are not timed.

    Attributes:
        imports: the modules without which it cannot run.
        distributions: the packages whose versions matter.
        prepares: its script has a step ``prepare``.
    """

    name: str
    script: str
    python: Path
    imports: tuple[str, ...]
    distributions: tuple[str, ...]
    prepares: bool = False
    missing: Mapping[str, str] = field(default_factory=dict)
    measured: str = "the call, in a new process that has imported everything before"

    def versions(self) -> dict[str, str]:
        """Return the versions of its packages and of its Python."""
        argv = [str(self.python), str(CHILDREN / "versions.py"), ",".join(self.imports), ",".join(self.distributions)]
        found: dict[str, str] = json.loads(_answer(argv).splitlines()[-1])
        return found

    def folder(self) -> Path:
        """Return where its first module lies."""
        program = "import importlib, sys; print(importlib.import_module(sys.argv[1]).__file__)"
        return Path(_answer([str(self.python), "-c", program, self.imports[0]])).parent

    def preparation(self, place: Place) -> Command | None:
        """Return the script's step ``prepare``, if it has one."""
        return self.command("prepare", place, place.scratch, place.scratch) if self.prepares else None

    def command(self, step: Step, place: Place, source: Path, destination: Path) -> Command:
        """Return the call of the script."""
        return child(self.python, self.script, step, place, source, destination)


def child(python: Path, script: str, step: Step, place: Place, source: Path, destination: Path) -> Command:
    """Return the call of a script among the children; see its ``Task``."""
    task = asdict(place) | {"step": step, "source": source, "destination": destination}
    return Command(
        (python, CHILDREN / script, json.dumps(task, default=str)), environment=_folders_of(place), reports=True
    )


@dataclass(frozen=True, eq=False)
class S5cmd(Tool):
    """s5cmd with its defaults: ``cp``, and ``sync`` where something is there already."""

    program: Path
    name: str = "s5cmd"
    measured: str = "the whole process"
    missing: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(["tiny"], "it keeps no versions"))

    def versions(self) -> dict[str, str]:
        """Return what the program says."""
        return {"s5cmd": _answer([self.program, "version"]).split("-")[0].removeprefix("v")}

    def preparation(self, place: Place) -> Command | None:  # noqa: ARG002 (the interface)
        """Return nothing."""
        return None

    def command(self, step: Step, place: Place, source: Path, destination: Path) -> Command:
        """Return the command line."""
        remote = f"s3://{place.bucket}/{place.prefix}/"
        single = source.is_file()
        if step == "fetch":
            arguments = ["cp", remote + (source.name if single else "*"), f"{destination}/"]
        else:
            arguments = ["cp" if step == "publish" else "sync", str(source) if single else f"{source}/", remote]
        return Command((self.program, "--endpoint-url", place.endpoint, *arguments))


@dataclass(frozen=True, eq=False)
class Rclone(Tool):
    """rclone's ``copy`` with its defaults; the remote is told by variables."""

    program: Path
    name: str = "rclone"
    measured: str = "the whole process"
    missing: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(["tiny"], "it keeps no versions"))

    def versions(self) -> dict[str, str]:
        """Return what the program says."""
        return {"rclone": _answer([self.program, "version"]).split()[1].removeprefix("v")}

    def preparation(self, place: Place) -> Command | None:  # noqa: ARG002 (the interface)
        """Return nothing."""
        return None

    def command(self, step: Step, place: Place, source: Path, destination: Path) -> Command:
        """Return the command line."""
        remote = f"BENCH:{place.bucket}/{place.prefix}"
        ends = (remote, str(destination)) if step == "fetch" else (str(source), remote)
        settings = {"TYPE": "s3", "PROVIDER": "Other", "ENV_AUTH": "true"}
        settings |= {"ENDPOINT": place.endpoint, "REGION": place.region}
        variables = {f"RCLONE_CONFIG_BENCH_{name}": value for name, value in settings.items()}
        return Command((self.program, "--config", "", "copy", *ends), variables)


def _folders_of(place: Place) -> dict[str, str]:
    """The variables that keep tools from using, and from leaving anything in, the folders of this user."""
    return {
        "DVC_GLOBAL_CONFIG_DIR": str(place.home),
        "DVC_SYSTEM_CONFIG_DIR": str(place.home),
        "DVC_SITE_CACHE_DIR": str(place.scratch / "site-cache"),
        "DVC_NO_ANALYTICS": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_S3_ENDPOINT_URL": place.endpoint,
    }


def _answer(argv: Sequence[str | Path]) -> str:
    """Return what a program prints.

    Raises:
        UnavailableError: it does not run.
    """
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=VERSION_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(str(error)) from error
    if answer.returncode:
        raise UnavailableError((answer.stderr or answer.stdout).strip().splitlines()[-1][:200])
    return answer.stdout.strip()
