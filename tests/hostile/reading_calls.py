"""Everything that reads a store, each call as a function whose result can be compared as JSON."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metamlflow import Dataset, MetaMLFlowClient, compare, migrate
from metamlflow.artifacts import Artifact
from metamlflow.cli.entry import run as run_command
from metamlflow.filesystem import MetaMLFlowFileSystem

PUBLIC_KEY_SEED = b"k" * 32


@dataclass(frozen=True)
class Reading:
    """Who reads, and where to."""

    client: MetaMLFlowClient
    honest: Path
    scratch: Path

    def folder(self, name: str) -> Path:
        return self.scratch / name


Call = Callable[[Reading], Any]
CALLS: dict[str, Call] = {}
REPORTS = frozenset(
    {"verify-stat", "verify-checksum", "verify-full", "verify-lineage", "verify-wide", "verify-all", "history",
     "compare", "migrate", "doctor", "cli-verify", "verify-pointer", "fsck", "usage",
     "prune-plan", "policies-plan"}
)  # fmt: skip
"""Calls whose result may say that something is wrong, where others raise."""
LINEAGES = frozenset({"upstream", "downstream"})
"""Calls whose result says of itself whether it is complete."""
LISTS = frozenset(
    {
        "list",
        "list-versions",
        "cli-ls",
        "notes-history",
        "aliases",
        "aliases-of-artifact",
        "alias-history",
        "list-aliases",
        "cli-alias-history",
        "protections",
        "list-prefix",
        "search",
        "catalog",
        "list-runs",
    }
)
"""Calls that may leave out what is damaged, with a warning."""


def _call(name: str) -> Callable[[Call], Call]:
    def keep(function: Call) -> Call:
        CALLS[name] = function
        return function

    return keep


def _addressed(reading: Reading) -> MetaMLFlowFileSystem:
    return MetaMLFlowFileSystem.of(reading.client.get_artifact("data", 2))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _facts(artifact: Artifact) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "version": artifact.version,
        "digest": artifact.digest,
        "manifest": artifact.manifest_digest,
        "metadata": artifact.metadata,
        "size": artifact.size,
        "by": artifact.created_by,
        "at": artifact.created_at.isoformat(),
        "type": artifact.artifact_type,
        "schema": artifact.schema,
        "inputs": [(str(used.name), used.version, used.manifest_digest) for used in artifact.inputs],
        "run": artifact.run_id,
        "pointed": [(place.path, place.uri) for place in artifact.pointed],
    }


def _tree(folder: Path) -> dict[str, str]:
    """Return the digests of the files below a folder, however deep they lie."""
    if folder.is_file():
        return {folder.name: _digest(folder.read_bytes())}
    found: dict[str, str] = {}
    levels = [("", os.open(folder, os.O_RDONLY))]  # not by paths: the system takes none of thousands of folders
    while levels:
        place, handle = levels.pop()
        with os.scandir(handle) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    levels.append((f"{place}{entry.name}/", os.open(entry.name, os.O_RDONLY, dir_fd=handle)))
                elif entry.is_file():
                    with os.fdopen(os.open(entry.name, os.O_RDONLY, dir_fd=handle), "rb") as file:
                        found[f"{place}{entry.name}"] = _digest(file.read())
        os.close(handle)
    return dict(sorted(found.items()))


def _data(reading: Reading) -> Artifact:
    return reading.client.get_artifact("data", 2)


for _name, _version in {"get-number": 2, "get-latest": "latest", "get-alias": "best"}.items():
    CALLS[_name] = lambda reading, version=_version: _facts(reading.client.get_artifact("data", version))
for _name in ("model", "table", "report", "old", "pointed", "wide"):
    CALLS[f"get-{_name}"] = lambda reading, name=_name: _facts(reading.client.get_artifact(name))
CALLS["list"] = lambda reading: [_facts(artifact) for artifact in reading.client.list_artifacts()]
CALLS["list-versions"] = lambda reading: [_facts(artifact) for artifact in reading.client.list_artifacts("data")]
CALLS["looks"] = lambda reading: [repr(_data(reading)), _data(reading)._repr_html_()]
CALLS["read-bytes"] = lambda reading: {
    entry.path: _digest(_data(reading).read_bytes(entry.path)) for entry in _data(reading).entries
}
CALLS["download"] = lambda reading: _tree(_data(reading).download(reading.folder("out")))
CALLS["download-one"] = lambda reading: _digest(
    _data(reading).download(reading.folder("one"), path="a.csv").read_bytes()
)
CALLS["download-latest"] = lambda reading: _tree(reading.client.get_artifact("data").download(reading.folder("latest")))
CALLS["local-path"] = lambda reading: _digest(_data(reading).local_path("a.csv").read_bytes())
CALLS["local-folder"] = lambda reading: _tree(_data(reading).local_path())
CALLS["storage-path"] = lambda reading: os.path.relpath(
    reading.client.get_artifact("model").storage_path.removeprefix("file://"),
    reading.client.storage_uri.removeprefix("file://"),
)
CALLS["pointer-read"] = lambda reading: _digest(reading.client.get_artifact("pointed").read_bytes())
CALLS["pointer-download"] = lambda reading: _tree(
    reading.client.get_artifact("pointed").download(reading.folder("lake")).parent
)
CALLS["signatures"] = lambda reading: [
    (signature.key_id, signature.created_at.isoformat())
    for signature in reading.client.get_artifact("model").signatures
]
CALLS["pandas"] = lambda reading: Dataset.open(reading.client, "table").to_pandas().to_dict("list")
CALLS["arrow"] = lambda reading: Dataset.open(reading.client, "table").to_arrow().to_pydict()
CALLS["dataset"] = lambda reading: [
    list(Dataset.open(reading.client, "table").files), Dataset.open(reading.client, "table").schema
]  # fmt: skip


@_call("open")
def _open(reading: Reading) -> Any:
    with _data(reading).open("sub/b.bin") as file:
        head = file.read(10)
        file.seek(1_000_000)
        middle = file.read(10)
        file.seek(0)
        return [head.hex(), middle.hex(), _digest(file.read())]


@_call("entries")
def _entries(reading: Reading) -> Any:
    entries = _data(reading).entries
    return [len(entries), [(entry.path, entry.size, entry.sha256, entry.key) for entry in entries]]


@_call("entries-wide")
def _wide(reading: Reading) -> Any:
    entries = reading.client.get_artifact("wide").entries
    found = [(entry.path, entry.size) for entry in entries]
    return [len(entries), _digest(repr(found).encode()), entries["00001"].path, "no" in entries]


@_call("read-wide")
def _read_wide(reading: Reading) -> Any:
    return reading.client.get_artifact("wide").read_bytes("00006").decode()


@_call("require-signature")
def _signed(reading: Reading) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(PUBLIC_KEY_SEED).public_key().public_bytes_raw()
    return _facts(reading.client.get_artifact("model", require_signature=key))


CALLS["notes"] = lambda reading: [reading.client.notes(target).to_json() for target in ("data", "data@2", "data@best")]
CALLS["notes-of-artifact"] = lambda reading: [_data(reading).notes.to_json(), repr(_data(reading).notes)]
CALLS["notes-history"] = lambda reading: [
    notes.to_json() for target in ("data", "data@2") for notes in reading.client.notes_history(target)
]
CALLS["aliases"] = lambda reading: sorted(reading.client.aliases("data").items())
CALLS["aliases-of-artifact"] = lambda reading: list(reading.client.get_artifact("data", 2).aliases)
CALLS["alias-history"] = lambda reading: [change.to_json() for change in reading.client.alias_history("data", "best")]
CALLS["list-aliases"] = lambda reading: [
    [found.name, found.version, alias]
    for name in ("data", None)
    for found in reading.client.list_artifacts(name, include_aliases=True)
    for alias in found.aliases
]
CALLS["cli-alias-history"] = lambda reading: _command("alias", "history", "data", "best")
CALLS["rollback-plan"] = lambda reading: reading.client.rollback("data", 2, dry_run=True).to_json()
CALLS["update-plan"] = lambda reading: reading.client.update_metadata("data", {"a": 1}, dry_run=True).to_json()
CALLS["copy-plan"] = lambda reading: reading.client.copy("data@2", "copied", dry_run=True).to_json()
CALLS["diff"] = lambda reading: reading.client.diff("data@1", "data@2").to_json()
CALLS["diff-names"] = lambda reading: _digest(_data(reading).diff("wide").to_html().encode())
if find_spec("duckdb"):
    CALLS["diff-rows"] = lambda reading: reading.client.diff("table", "table", rows=True).rows.to_json()
CALLS["cli-diff"] = lambda reading: _command("diff", "data@2", "data@2", "--json")
CALLS["cli-cat"] = lambda reading: _command("cat", "data@2", "a.csv")
CALLS["list-prefix"] = lambda reading: [one.version for one in reading.client.list_artifacts(prefix="da")]
CALLS["search"] = lambda reading: [
    _facts(found) for found in reading.client.search("type != 'x' and (metadata.a = 1 or size >= 0)")
]
CALLS["catalog"] = lambda reading: [
    row
    for row in reading.client.catalog().select(["name", "version", "state"]).to_pylist()
    if row["state"] != "unknown"  # its record is damaged, and nothing is claimed of it
]
CALLS["list-runs"] = lambda reading: [[run.start.name, run.start.run_id] for run in reading.client.runs()]
CALLS["address"] = lambda reading: _digest(_addressed(reading).cat("data@2/a.csv"))
CALLS["address-part"] = lambda reading: _addressed(reading).cat_file("data@2/a.csv", 1, 3).decode()
CALLS["address-list"] = lambda reading: _addressed(reading).find("data@2")
CALLS["scan"] = lambda reading: Dataset.open(reading.client, "table").scan().to_table().to_pydict()
CALLS["load"] = lambda reading: _digest(reading.client.get_artifact("model").load(format="bytes"))
CALLS["cli-notes"] = lambda reading: _command("notes", "data@2")
for _level in ("stat", "checksum", "full"):
    CALLS[f"verify-{_level}"] = lambda reading, level=_level: _data(reading).verify(level).to_json()
CALLS["verify-lineage"] = lambda reading: reading.client.get_artifact("report").verify(lineage=True).to_json()
CALLS["verify-wide"] = lambda reading: reading.client.get_artifact("wide").verify("stat").to_json()
CALLS["verify-pointer"] = lambda reading: reading.client.get_artifact("pointed").verify().to_json()
CALLS["verify-all"] = lambda reading: reading.client.verify_all(["data", "model", "report"]).to_json()


@_call("history")
def _history(reading: Reading) -> Any:
    history = reading.client.history("data")
    problems = [error.message for error in history.problems]
    return {"ok": history.ok, "versions": [entry.manifest_digest for entry in history.versions], "problems": problems}


CALLS["fsck"] = lambda reading: {"ok": reading.client.fsck().ok}


@_call("collection-plan")
def _collection_plan(reading: Reading) -> Any:
    plan = reading.client.collect_garbage(dry_run=True)
    # What may be deleted now, or later: the servers give what they hold times of their own.
    return {
        "kept": [plan.kept_blobs, plan.kept_bytes],
        "garbage": plan.bytes + sum(it[1] for it in plan.waiting.values()),
    }


CALLS["prune-plan"] = lambda reading: {"ok": reading.client.prune("**", keep_last=1, dry_run=True).ok}
CALLS["policies-plan"] = lambda reading: {"ok": reading.client.apply_policies(dry_run=True).ok}
CALLS["policies"] = lambda reading: [str(policy.pattern) for policy in reading.client.policies()]
CALLS["protections"] = lambda reading: [protection.note for protection in reading.client.protections()]
CALLS["usage"] = lambda reading: {"ok": reading.client.usage().complete}


@_call("upstream")
def _upstream(reading: Reading) -> Any:
    lineage = reading.client.get_artifact("report").upstream()
    assert "</script" not in lineage.to_json().__repr__() or "</script><" not in lineage.to_html()
    return [lineage.to_json(), lineage.to_mermaid(), _digest(lineage.to_html().encode())]


@_call("downstream")
def _downstream(reading: Reading) -> Any:
    return _data(reading).downstream().to_json()


@_call("runs")
def _runs(reading: Reading) -> Any:
    artifact = reading.client.get_artifact("model")
    return repr(reading.client.get_run(artifact.run_id or "0" * 32))


@_call("compare")
def _compare(reading: Reading) -> Any:
    found = [difference.to_json() for difference in compare(reading.client.storage_uri, reading.honest, full=True)]
    return {"ok": not found, "found": found}


@_call("migrate")
def _migrate(reading: Reading) -> Any:
    destination = reading.folder("migrated")
    names = ["data", "model", "report", "pointed"]
    report = migrate(reading.client.storage_uri, destination, names)
    document = report.to_json()
    if report.ok:
        moved = MetaMLFlowClient(destination, cache_dir=reading.folder("cache"))
        document["moved"] = [_facts(artifact) for name in names for artifact in moved.list_artifacts(name)]
        document["ok"] = moved.verify_all().ok
    return {name: document[name] for name in ("ok", "problems", "moved") if name in document}


def _command(*arguments: str) -> Any:
    """Run a command of the command line; the exit code 0 is its JSON, another one an outcome by itself."""
    kept = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile("w+") as out:
        for stream in (1, 2):
            os.dup2(out.fileno(), stream)
        try:
            with open(1, "w", closefd=False) as stream, contextlib.redirect_stdout(stream):
                code = run_command(arguments)
        finally:
            for stream, copy in enumerate(kept, start=1):
                os.dup2(copy, stream)
                os.close(copy)
        out.seek(0)
        return {"code": int(code), "ok": code == 0, "out": out.read()}


CALLS["doctor"] = lambda _: {"ok": _command("doctor", "--json")["code"] == 0}  # how full a disk is changes
CALLS["cli-ls"] = lambda reading: _command("ls", "--json")
CALLS["cli-show"] = lambda reading: _command("show", "data@2", "--json")
CALLS["cli-get"] = lambda reading: _command("get", "data@2", str(reading.folder("got")))
CALLS["cli-verify"] = lambda reading: _command("verify", "data@2", "--json")
