"""What tests of the façade and of the use cases stand on: a store in a folder, looked at past the code under test."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from closing_words import ClosingWords
from metamlflow import MetaMLFlowClient

NOBODY = 65534
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a script starts what it runs in the background; the children of the tests would ignore Ctrl-C as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
_BLOB_FOLDER = "blobs/sha256"
_WITHOUT = {"emulator": "not emulator", "hostile": "not full"}
"""Folders, and the selection of tiers that runs none of their tests."""
_MEMORY = "/dev/shm"
_MEMORY_NEEDED = 4 << 30  # bytes free; the quick and the emulator tests were seen to hold a tenth of it


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # the processes that run the tests say nothing, and are told where to write
        return
    config.pluginmanager.register(ClosingWords(config.option.markexpr))
    if "not full" in config.option.markexpr and _memory_has_room():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _MEMORY)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out folders of which nothing is asked for: to collect thousands of tests takes each process seconds."""
    if collection_path.parent != Path(__file__).parent:
        return None
    without = _WITHOUT.get(collection_path.name)
    return True if without and without in config.option.markexpr else None


def _memory_has_room() -> bool:
    """Whether temp folders may lie in memory, where thousands of small files cost half as much as on a disk."""
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        return False
    disk = os.statvfs(_MEMORY)
    if disk.f_flag & os.ST_NOEXEC:  # some tests write programs
        return False
    return disk.f_bavail * disk.f_frsize >= _MEMORY_NEEDED


def pytest_collection_finish() -> None:
    """Spare each later search for garbage the collected tests, millions of objects that stay."""
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait, for a server or for each other."""
    return (os.cpu_count() or 1) + 1


class RawStore:
    """A store folder as the file system shows it: no code of the project is asked."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def keys(self) -> set[str]:
        """All files, temp files included, relative to the root."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}

    def blobs(self) -> set[str]:
        return {key for key in self.keys() if key.startswith(_BLOB_FOLDER)}

    def temp_files(self) -> set[str]:
        return {key for key in self.keys() if key.startswith(".tmp/")}

    def manifest_path(self, name: str, version: int) -> Path:
        return self.root / f"artifacts/{name}/_versions/{9_999_999_999 - version:010d}_v{version}.json"

    def manifest(self, name: str, version: int = 1) -> dict:
        return json.loads(self.manifest_path(name, version).read_bytes())

    def prune(self, name: str, version: int) -> None:
        """Write a version's first state record, as a prune does."""
        manifest = self.manifest_path(name, version)
        self._write_beside(manifest, "state-9999999998", {"state": "pruned"})

    def erase(self, name: str, version: int) -> None:
        """Write the record that a version was erased, and delete its manifest, as an erasure does at its end."""
        manifest = self.manifest_path(name, version)
        document = json.loads(manifest.read_bytes())
        said = {"name": document["name"], "version": version, "created_by": "officer", "reason": "asked for"}
        self._write_beside(manifest, "tomb", said | {"previous": document["previous"]})
        manifest.unlink()

    def _write_beside(self, manifest: Path, what: str, fields: dict) -> None:
        digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
        origin = {"format": 1, "record_id": "0" * 32, "created_at": "2024-01-01T00:00:00Z"}
        document = origin | {"manifest_digest": f"sha256:{digest}"} | fields
        manifest.with_name(f"{manifest.stem}.{what}.json").write_text(json.dumps(document))

    def manifests(self) -> list[Path]:
        return sorted(self.root.glob("artifacts/**/_versions/*.json"))

    def blob_path(self, content: bytes, extension: str = "") -> Path:
        digest = hashlib.sha256(content).hexdigest()
        return self.root / _BLOB_FOLDER / digest[:2] / f"{digest}{extension}"

    def overwrite(self, path: Path, data: bytes) -> None:
        """Damage an object: objects are read-only, and must not keep their old bytes under another link."""
        path.unlink()
        path.write_bytes(data)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("METAMLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def deep_tree(tmp_path) -> Iterator[None]:
    """For a test that leaves a tree so deep that pytest cannot remove it: it is removed afterwards."""
    yield
    subprocess.run(["rm", "-rf", "--", *tmp_path.iterdir()], check=True)


@pytest.fixture
def store_folder(tmp_path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def client(store_folder, tmp_path) -> MetaMLFlowClient:
    return MetaMLFlowClient(store_folder, cache_dir=tmp_path / "cache")


@pytest.fixture
def raw(store_folder) -> RawStore:
    return RawStore(store_folder)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder to fill and register."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


@pytest.fixture
def open_folder():
    """A temp folder that any user may enter and write, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="metamlflow-test-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def quick_folder():
    """A temp folder in memory where the system has one: thousands of files are made there in a moment."""
    path = Path(tempfile.mkdtemp(prefix="metamlflow-test-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def mounted(tmp_path):
    """Mount a small disk of its own: ``mounted(options)`` returns where. Skips where mounting is not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    points: list[Path] = []

    def mount(options: str, kind: str = "tmpfs") -> Path:
        point = tmp_path / f"disk{len(points)}"
        point.mkdir()
        if libc.mount(b"tmpfs", os.fsencode(point), kind.encode(), 0, options.encode()):
            pytest.skip(f"mounting {kind} ({options}) is not possible here: {os.strerror(ctypes.get_errno())}")
        points.append(point)
        return point

    yield mount
    for point in points:
        subprocess.run(["umount", "--lazy", point], check=True)


@pytest.fixture
def as_nobody():
    """Run ``work(*args)`` in a forked child without privileges; return its result or raise its exception."""
    if os.getuid() != 0:
        pytest.skip("only root can become nobody")

    def run(work, *args):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _answer_as_nobody(writer, work, args)
        os.close(writer)
        with os.fdopen(reader, "rb") as answer:
            data = answer.read()
        os.waitpid(child, 0)
        good, value = pickle.loads(data)
        if not good:
            raise value
        return value

    return run


def _answer_as_nobody(writer, work, args):
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        answer = True, work(*args)
    except BaseException as error:  # noqa: BLE001 (it is raised in the parent)
        error.add_note("".join(traceback.format_exception(error)))
        answer = False, error
    with os.fdopen(writer, "wb") as out:
        out.write(pickle.dumps(answer))
    os._exit(0)
