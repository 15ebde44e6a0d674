"""The facts that a run records about its code and machine. A fact that cannot be determined is left out."""

from __future__ import annotations

import getpass
import hashlib
import logging
import platform
import re
import socket
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import Distribution, distributions, version
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, TypeVar

from metamlflow.store.lineage.repositories import head_of, is_dirty, remote_of, repository_of
from metamlflow.store.transfer.regular_files import read_small

_MOST_SOURCE_BYTES = 16 * 1024 * 1024
_MOST_METADATA_BYTES = 16 * 1024 * 1024
_log = logging.getLogger(__name__)
T = TypeVar("T")


def captured_code(frame: FrameType | None, function: Callable[..., Any] | None = None) -> dict[str, Any]:
    """Return script or notebook, entry point, digest of the source, and the state of the git repository around it.

    Args:
        frame: the frame in which the run began.
        function: the function that runs, if the run decorates one.
    """
    code = getattr(function, "__code__", None) or (frame.f_code if frame else None)
    file = _or_none(lambda: _source_file(code)) if code else None
    found: dict[str, Any] = {
        "entry_point": _or_none(lambda: _entry_point(code, function)) if code else None,
        "script": _or_none(_script),
        "source": file and file.name,
        "source_digest": _or_none(lambda: _digest_of(file)) if file else None,
        "git": _or_none(lambda: _git(file.parent if file else Path.cwd())),
    }
    return {name: value for name, value in found.items() if value is not None}


def captured_environment() -> dict[str, Any]:
    """Return the versions of Python and of this library; the distributions are listed separately."""
    found = {
        "python": _or_none(platform.python_version),
        "implementation": _or_none(platform.python_implementation),
        "platform": _or_none(lambda: platform.platform(terse=True)),
        "metamlflow": _or_none(lambda: version("metamlflow")),
    }
    return {name: value for name, value in found.items() if value is not None}


@cache
def captured_distributions() -> bytes:
    """Return the installed distributions, one per line, like ``pip freeze``; sorted: equal sets give equal bytes."""
    found = {line for dist in distributions() if (line := _or_none(lambda dist=dist: _listed(dist)))}  # type: ignore[misc]
    return "".join(f"{line}\n" for line in sorted(found, key=str.lower)).encode()


def captured_user() -> str | None:
    """Return the name of the current user."""
    return _or_none(getpass.getuser)


def captured_host() -> str | None:
    """Return the name of this machine."""
    return _or_none(socket.gethostname)


def _or_none(find: Callable[[], T]) -> T | None:
    try:
        return find()
    except Exception as error:  # noqa: BLE001 (a job must not fail because a fact about it is unavailable)
        _log.debug("not captured: %s", error)
        return None


def _listed(distribution: Distribution) -> str | None:
    """Return ``name==version``. Pipes and huge files, which a stranger's folder may hold, are left out."""
    folder = getattr(distribution, "_path", None)
    if not isinstance(folder, Path):  # inside an archive
        header = f"Name: {distribution.metadata['Name']}\nVersion: {distribution.version}"
    else:
        name = next(name for name in ("METADATA", "PKG-INFO", "") if folder.is_file() or (folder / name).exists())
        text = read_small(folder / name, most=_MOST_METADATA_BYTES).decode(errors="replace")
        header = text.replace("\r\n", "\n").partition("\n\n")[0]
    facts = [re.search(rf"^{field}:[ \t]*(\S+)[ \t]*$", header, re.MULTILINE) for field in ("Name", "Version")]
    line = "==".join(fact[1] for fact in facts if fact)
    return line if all(facts) and line.isascii() and line.isprintable() else None


def _source_file(code: CodeType) -> Path | None:
    file = Path(code.co_filename)
    return file if file.is_file() and file.stat().st_size <= _MOST_SOURCE_BYTES else None


def _digest_of(file: Path) -> str:
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def _entry_point(code: CodeType, function: Callable[..., Any] | None) -> str | None:
    if isinstance(function, FunctionType):
        return f"{function.__module__}:{function.__qualname__}"
    return None if code.co_name == "<module>" else code.co_qualname


def _script() -> str | None:
    """Return the script, module or notebook that this process was started for."""
    if notebook := _notebook():
        return notebook
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    file = getattr(main, "__file__", None)
    return Path(file).name if file else None


def _notebook() -> str | None:
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    if shell is None:
        return None
    path = shell.user_ns.get("__vsc_ipynb_file__") or shell.user_ns.get("__session__")
    return Path(path).name if path else "notebook"


def _git(folder: Path) -> Mapping[str, Any] | None:
    repository = repository_of(folder)
    if repository is None:
        return None
    commit, branch = head_of(repository)
    if commit is None:
        return None
    remote = _or_none(lambda: remote_of(repository))
    found = {
        "commit": commit,
        "branch": branch,
        "dirty": _or_none(lambda: is_dirty(repository, commit)),
        "remote": remote and _without_credentials(remote),
    }
    return {name: value for name, value in found.items() if value is not None and _is_text(value)}


def _is_text(value: object) -> bool:
    """Whether a record can hold a value: a file name may contain bytes that are not text."""
    return not isinstance(value, str) or value == value.encode(errors="replace").decode()


def _without_credentials(remote: str) -> str:
    """Return a remote's address without user, password, query and fragment, which must not get into a store."""
    scheme, separator, rest = remote.rpartition("://")
    # A password may hold any character: the part before the last @ is not part of the location.
    return scheme + separator + re.split(r"[?#]", rest.rpartition("@")[2], maxsplit=1)[0]
