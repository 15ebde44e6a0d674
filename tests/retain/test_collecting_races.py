"""Publishers, pruners and collectors, each a real process, on one folder with a grace of seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient

SECONDS, GRACE = 16, 3
ROLES = ("publish-1", "publish-2", "publish-3", "prune-1", "collect-1", "collect-2")
EVERYBODY = (
    *("publish-1", "publish-2", "giveup-1", "alias-1", "protect-1", "restore-1", "erase-1", "migrate-1"),
    *("collect-1", "collect-2"),
)
PROGRAM = Path(__file__).with_name("racing.py")


def race(url: str, options: dict, seconds: float, roles=ROLES) -> dict[str, list]:
    """Run all roles at once; return what each was told."""
    command = [sys.executable, str(PROGRAM), url, json.dumps(options)]
    running = {
        role: subprocess.Popen([*command, role, str(seconds)], stdout=subprocess.PIPE, text=True) for role in roles
    }
    told = {role: process.communicate(timeout=seconds + 120)[0] for role, process in running.items()}
    assert all(process.returncode == 0 for process in running.values())
    return {role: json.loads(text) for role, text in told.items()}


def race_of_everybody(url: str, options: dict, seconds: float) -> dict[str, list]:
    """Race, and once more if on a slow machine nobody came to restore, to erase or to bring anything over."""
    told = race(url, options, seconds, EVERYBODY)
    if not all(told[role] for role in ("restore-1", "erase-1", "migrate-1")):
        more = race(url, options, seconds, EVERYBODY)
        told = {role: told[role] + more[role] for role in told}
    return told


def write_marker(write, grace: int, number: int = 0) -> None:
    origin = {"format": 1, "requires": [], "record_id": "1" * 32, "store_id": f"{number + 2}" * 32}
    said = origin | {"created_at": "2026-01-01T00:00:00Z", "grace_seconds": grace}
    write("metamlflow.json", json.dumps(said).encode())


def assert_nothing_was_lost(client: MetaMLFlowClient, told: dict[str, list]) -> int:
    """Every version that is live has its content, and is what its publisher was told; return how much was deleted."""
    answers = [each for role in told if role.startswith("publish") for each in told[role]]
    published = {(name, number): said for name, number, said in answers}
    assert len(published) == len(answers), "no number twice"
    numbers = {name: sorted(number for other, number in published if other == name) for name, _ in published}
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values()), "and none skipped"
    live = 0
    for name in numbers:
        for version in client.list_versions(name):
            artifact = client.get_artifact(name, version)
            assert artifact.verify("full").ok
            assert [artifact.read_bytes(f"f{place}").decode() for place in range(3)] == published[name, version]
            live += 1
    assert live
    outcomes = [each for role in told if role.startswith("collect") for each in told[role]]
    strange = [
        each for each in outcomes if each[0] not in {"deleted", "conflict"} and "was erased meanwhile" not in each[0]
    ]
    assert not strange, strange
    return sum(each[1] for each in outcomes)


def assert_everybody_was_told_the_truth(client: MetaMLFlowClient, there: MetaMLFlowClient, told: dict) -> None:
    """What was named is whole, what was erased is gone from both stores, and the second one has nothing else."""
    assert assert_nothing_was_lost(client, told) > 0, "something was collected"
    erased = {(name, version) for _, name, version in told["erase-1"]}
    assert erased, "something was erased"
    assert told["restore-1"], "something was restored"
    published = {
        (name, number): said for role in told if role.startswith("publish") for name, number, said in told[role]
    }
    for name in ("a", "b"):
        assert not {version for other, version in erased if other == name} & set(client.list_versions(name))
        named = client.aliases(name).get("best")
        newest = max((number, version) for _, other, number, version in told["alias-1"] if other == name)
        if named == newest[1] and named in client.list_versions(name):
            assert client.get_artifact(name, "best").verify("full").ok
        for version in there.list_versions(name):
            artifact = there.get_artifact(name, version)
            assert [artifact.read_bytes(f"f{place}").decode() for place in range(3)] == published[name, version]
    assert any(status == "migrated" for status, _, _ in told["migrate-1"])


@pytest.mark.full
@pytest.mark.timeout(300)
def test_everybody_at_once_on_a_folder_and_nothing_is_lost(tmp_path):
    roots = tmp_path / "store", tmp_path / "store-copy"
    for number, root in enumerate(roots):
        root.mkdir()
        write_marker(lambda key, data, root=root: (root / key).write_bytes(data), GRACE + 2, number)
    told = race_of_everybody(str(roots[0]), {}, SECONDS + 8)
    assert_everybody_was_told_the_truth(*map(MetaMLFlowClient, roots), told)


@pytest.mark.full
def test_no_live_version_loses_content_to_collectors_on_a_folder(tmp_path):
    root = tmp_path / "store"
    root.mkdir()
    write_marker(lambda key, data: (root / key).write_bytes(data), GRACE)
    told = race(root.as_uri(), {}, SECONDS)
    assert assert_nothing_was_lost(MetaMLFlowClient(root), told) > 0


@pytest.mark.full
def test_two_collectors_never_delete_at_the_same_time_on_a_folder(tmp_path):
    """Their records stand in one series: what is begun is ended by the same one before another begins."""
    root = tmp_path / "store"
    root.mkdir()
    write_marker(lambda key, data: (root / key).write_bytes(data), GRACE)
    told = race(root.as_uri(), {}, SECONDS, ("publish-1", "prune-1", "collect-1", "collect-2", "collect-3"))
    assert_nothing_was_lost(MetaMLFlowClient(root), told)
    records = [json.loads(path.read_bytes()) for path in sorted((root / "collections").iterdir(), reverse=True)]
    under_way = None
    for record in records:
        assert under_way in {None, record["collection"]}
        under_way = None if record["phase"] == "ended" else record["collection"]
    assert len({record["collection"] for record in records}) > 1
