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


def write_marker(write, grace: int) -> None:
    origin = {"format": 1, "requires": [], "record_id": "1" * 32, "store_id": "2" * 32}
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
    strange = [each for each in outcomes if each[0] not in {"deleted", "conflict"}]
    assert not strange, strange
    return sum(each[1] for each in outcomes)


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
