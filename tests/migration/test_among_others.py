"""A migration while others write at the source, and read and write at the destination: in real processes."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from full_stores import files_of

from metamlflow import MetaMLFlowClient, compare, migrate

PUBLISHER = """
import sys
from metamlflow import MetaMLFlowClient
client, me = MetaMLFlowClient(sys.argv[1]), sys.argv[2]
for number in range(12):
    shared = client.register_artifact("shared", {"a": f"{me} {number}".encode(), "same": b"same"})
    client.register_artifact(f"of/{me}", f"model {number}".encode(), inputs=[f"shared@{shared.version}"])
    client.set_alias(f"of/{me}", "newest", "latest")
"""
READER = """
import pathlib, sys, time
from metamlflow import MetaMLFlowClient
from metamlflow.errors import StoreNotFoundError
seen = 0
while not pathlib.Path(sys.argv[2]).exists():
    client = MetaMLFlowClient(sys.argv[1])
    try:
        report = client.verify_all()
        assert report, report.to_json()
        for artifact in client.list_artifacts():
            for used in artifact.inputs:  # inputs are there before what was made from them
                assert client.get_artifact(str(used.name), used.version).manifest_digest == used.manifest_digest
            for consumer in client.lineage(f"{artifact.name}@{artifact.version}", "downstream").artifacts:
                client.get_artifact(consumer)
            seen += 1
    except StoreNotFoundError:
        time.sleep(0.05)
print(seen)
"""
OTHER = """
import pathlib, sys
from metamlflow import MetaMLFlowClient
client, number = MetaMLFlowClient(sys.argv[1]), 0
while not pathlib.Path(sys.argv[2]).exists():
    number += 1
    client.register_artifact("mine", {"a": b"%d" % number, "same": b"same"})
print(number)
"""


def start(code, *arguments) -> subprocess.Popen:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


@pytest.mark.full
@pytest.mark.timeout(240)
def test_ten_publishers_a_reader_and_a_publisher_of_other_names_lose_nothing(tmp_path):
    here, there, end = tmp_path / "source", tmp_path / "destination", tmp_path / "end"
    MetaMLFlowClient(here).register_artifact("first", b"1")
    publishers = [start(PUBLISHER, here, f"p{number}") for number in range(10)]
    others = [start(READER, there, end), start(OTHER, there, end)]
    runs = 0
    while any(publisher.poll() is None for publisher in publishers):
        report = migrate(here, there)
        assert report, report.to_json()
        runs += 1
        time.sleep(0.1)
    for publisher in publishers:
        ended(publisher)
    assert migrate(here, there)
    end.touch()
    seen, published = (int(ended(process)) for process in others)
    assert runs > 1
    assert min(seen, published) > 0
    ours, theirs = files_of(here), files_of(there)
    assert {key: theirs.get(key) for key in ours} == ours
    assert {d.what for d in compare(here, there, full=True)} == {"only there"}
    assert [artifact.version for artifact in MetaMLFlowClient(there).list_artifacts("shared")] == list(range(1, 121))
    assert [a.version for a in MetaMLFlowClient(there).list_artifacts("mine")] == list(range(1, published + 1))
    assert MetaMLFlowClient(there).verify_all()
    assert MetaMLFlowClient(there).history("shared")
