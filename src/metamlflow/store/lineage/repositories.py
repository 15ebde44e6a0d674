"""Read the commit of a git repository from its files. A downloaded folder is untrusted: its settings run nothing.

git runs commands that a repository's configuration names (``core.fsmonitor``, filters, hooks, pagers, remote helpers),
even for ``git status``. So commit, branch and remote are read without git. Only the question whether files were changed
goes to git, which then gets our configuration instead of the repository's: it uses the repository's objects and index,
and locks and writes nothing.

A repository is trusted only if its owner is the owner of the folder or of this process, and if a ``.git`` file and the
place that it names point at each other. Otherwise a neighbour's ``/tmp/.git``, or a line in a downloaded folder, would
decide which commit a run claims. Rejected alternative: ``git -c`` with each known setting switched off, which is wrong
again with each setting that git adds.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from metamlflow.store.transfer.regular_files import read_small

_GIT_SECONDS = 5.0
_SMALL_FILE_BYTES = 64 * 1024
_CONFIG_BYTES = 1024 * 1024
_PACKED_REFS_BYTES = 64 * 1024 * 1024
_LONGEST_CHAIN = 5
_OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SECTION = re.compile(r'\[\s*([A-Za-z0-9.-]+)\s*(?:"((?:[^"\\]|\\.)*)")?\s*\]')
# Settings about how files are stored on this disk. Each is passed on only with one of these words, which name no
# command.
_HARMLESS = {
    name: re.compile(r"(?i:true|false|yes|no|on|off|0|1|input|lf|crlf|native|default|minimal)")
    for name in (
        "autocrlf",
        "checkstat",
        "eol",
        "filemode",
        "ignorecase",
        "precomposeunicode",
        "symlinks",
        "trustctime",
    )
}


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository around a folder. ``own`` holds HEAD and the index; ``shared`` holds objects, refs and settings."""

    work_tree: Path
    own: Path
    shared: Path


def repository_of(folder: Path) -> Repository | None:
    """Return the repository that contains ``folder``, if it can be trusted; follow no link in its place."""
    folder = Path(os.path.realpath(folder))
    status = folder.stat()
    for place in (folder, *folder.parents):
        if place.stat().st_dev != status.st_dev:
            return None
        dot_git = place / ".git"
        try:
            found = dot_git.lstat()
        except OSError:
            continue
        if found.st_uid not in {os.geteuid(), status.st_uid}:
            return None
        if stat.S_ISDIR(found.st_mode):
            return Repository(place, dot_git, dot_git)
        return _linked(place, dot_git) if stat.S_ISREG(found.st_mode) else None
    return None


def _linked(work_tree: Path, dot_git: Path) -> Repository | None:
    """Return the repository of a work tree or submodule, where ``.git`` is a file that names the repository."""
    named = _text(dot_git).removeprefix("gitdir:").strip()
    own = Path(os.path.realpath(work_tree / named))
    if (own / "commondir").exists():
        shared = Path(os.path.realpath(own / _text(own / "commondir").strip()))
        back = own / _text(own / "gitdir").strip()
        if own.parent == shared / "worktrees" and os.path.realpath(back) == os.fspath(dot_git):
            return Repository(work_tree, own, shared)
        return None
    back = own / _settings(own).get("core.worktree", "")
    return Repository(work_tree, own, own) if os.path.realpath(back) == os.fspath(work_tree) else None


def head_of(repository: Repository) -> tuple[str | None, str | None]:
    """Return commit and branch; None for an unknown commit, and for the branch if HEAD is detached."""
    text = _read_ref(repository, "HEAD")
    branch = None
    for _ in range(_LONGEST_CHAIN):
        if text is None or not text.startswith("ref:"):
            break
        name = text.removeprefix("ref:").strip()
        if not name.startswith("refs/") or ".." in name or not name.isprintable():
            return None, None
        branch = branch or (name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None)
        text = _read_ref(repository, name) or _packed(repository, name)
    return (text if text and _OBJECT_ID.fullmatch(text) else None), branch


def remote_of(repository: Repository) -> str | None:
    """Return the address of the remote ``origin``, as written in the settings."""
    return _settings(repository.shared).get("remote.origin.url")


def is_dirty(repository: Repository, commit: str) -> bool | None:
    """Whether files that git tracks differ from the commit; None if unknown.

    It is unknown without git, if git takes longer than five seconds, and for differing files that a filter such as Git
    LFS might make equal: no filter is run. Changes inside submodules do not count.
    """
    git = _program("git")
    if git is None or not _is_file(repository.own / "index"):
        return None
    with tempfile.TemporaryDirectory(prefix="metamlflow-git-") as folder:
        neutral = Path(folder)
        (neutral / "refs").mkdir()
        (neutral / "HEAD").write_text(f"{commit}\n")
        (neutral / "config").write_text("".join(_neutral_settings(repository, commit)))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_DIR": folder,
            "GIT_WORK_TREE": os.fspath(repository.work_tree),
            "GIT_INDEX_FILE": os.fspath(repository.own / "index"),
            "GIT_OBJECT_DIRECTORY": os.fspath(repository.shared / "objects"),
        }

        def ask(*arguments: str, given: bytes = b"") -> list[bytes]:
            """Run git with these arguments; return its answer, split at NUL."""
            answer = subprocess.run(  # noqa: S603 (a program on the user's PATH, with fixed arguments)
                [git, "--no-pager", *arguments],
                capture_output=True,
                check=True,
                cwd=repository.work_tree,
                env=environment,
                input=given,
                timeout=_GIT_SECONDS,
            )
            return answer.stdout.split(b"\0")[:-1]

        listed = ask("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=dirty")
        if not listed:
            return False
        changed = [line[3:] for line in listed]
        filters = ask("check-attr", "-z", "--stdin", "filter", given=b"".join(name + b"\0" for name in changed))[2::3]
        # A staged change (its first letter) counts whatever a filter would say.
        staged = any(line[:1] != b" " for line in listed)
        return True if staged or any(value in {b"unspecified", b"unset"} for value in filters) else None


def _neutral_settings(repository: Repository, commit: str) -> Iterator[str]:
    by_sha256 = len(commit) == 64  # noqa: PLR2004 (hex digits)
    yield f"[core]\n\trepositoryformatversion = {int(by_sha256)}\n"
    for name, value in _settings(repository.shared).items():
        section, _, key = name.partition(".")
        if section == "core" and key in _HARMLESS and _HARMLESS[key].fullmatch(value):
            yield f"\t{key} = {value}\n"
    if by_sha256:
        yield "[extensions]\n\tobjectformat = sha256\n"


def _program(name: str) -> str | None:
    """Return the path of a program; skip relative folders of PATH, which depend on the current folder."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which(name, path=os.pathsep.join(folder for folder in folders if os.path.isabs(folder)))  # noqa: PTH117


def _read_ref(repository: Repository, name: str) -> str | None:
    for folder in (repository.own, repository.shared):
        try:
            return _text(folder / name, below=folder).strip()
        except OSError:
            continue
    return None


def _packed(repository: Repository, name: str) -> str | None:
    try:
        text = _text(repository.shared / "packed-refs", below=repository.shared, most=_PACKED_REFS_BYTES)
    except OSError:
        return None
    found = re.search(rf"^([0-9a-f]+) {re.escape(name)}$", text, re.MULTILINE)
    return found[1] if found else None


def _settings(folder: Path) -> Mapping[str, str]:
    """Return the settings in a repository's own file, the last value of each. Included files are not read."""
    try:
        text = _text(folder / "config", below=folder, most=_CONFIG_BYTES)
    except OSError:
        return {}
    found: dict[str, str] = {}
    prefix = ""
    for line in text.replace("\\\n", "").splitlines():
        stripped = line.strip()
        if section := _SECTION.match(stripped):
            inner = re.sub(r"\\(.)", r"\1", section[2]) if section[2] is not None else None
            prefix = section[1].lower() + (f".{inner}" if inner is not None else "")
            stripped = stripped[section.end() :].strip()
        name, equals, value = stripped.partition("=")
        if name and name[0] not in "#;":
            found[f"{prefix}.{name.strip().lower()}"] = _value(value.strip()) if equals else "true"
    return found


def _value(text: str) -> str:
    """Return the effective value: quotes and escapes resolved, a comment removed."""
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"|((?:[^"\\#;]|\\.)+)|([#;].*)', text)
    kept = []
    for quoted, plain, comment in parts:
        if comment:
            break
        kept.append(re.sub(r"\\(.)", r"\1", quoted or plain))
    return "".join(kept).strip()


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _text(path: Path, *, below: Path | None = None, most: int = _SMALL_FILE_BYTES) -> str:
    return read_small(path, below=below, most=most).decode(errors="surrogateescape")
