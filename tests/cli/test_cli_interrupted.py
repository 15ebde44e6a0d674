"""Who presses Ctrl-C is told that what was done stays done, how much that is, and that the same command goes on."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow_local.backend import LocalBackend


@pytest.fixture
def five(work):
    client = MetaMLFlowClient("./store")
    for number in range(5):
        client.register_artifact("a", b"%d" % number)
    return client


def interrupt(monkeypatch, verb, part, after=0):
    """A Ctrl-C comes at a call of the storage whose first key has this part."""
    real, seen = getattr(LocalBackend, verb), []

    def call(self, key, *rest, **options):
        if part in str(key):
            seen.append(key)
            if len(seen) > after:
                raise KeyboardInterrupt
        return real(self, key, *rest, **options)

    monkeypatch.setattr(LocalBackend, verb, call)


GOES_ON = "; the same command goes on from there\n"


def test_prune_says_how_many_were_pruned_by_then_and_goes_on(five, ask, monkeypatch):
    with monkeypatch.context() as patched:
        interrupt(patched, "create", ".state-", after=2)
        answer = ask("prune", "a", "--keep-last", "1")
    assert answer.code == 130
    assert answer.err == f"what was pruned stays pruned (2 versions pruned by then){GOES_ON}error: interrupted\n"
    assert [five.history("a").versions[at].available for at in range(5)] == [False, False, True, True, True]
    assert ask("prune", "a", "--keep-last", "1").code == 0
    assert not five.history("a").versions[3].available


@pytest.mark.parametrize(
    ("command", "verb", "part", "said"),
    [
        (("restore", "a@1"), "create", ".state-", "the version is restored, or still pruned"),
        (("erase", "a@1"), "stat", "_v1", "what was erased stays erased"),
        (("gc", "--unsafe"), "list_objects", "blobs/", "what was deleted stays deleted, and was garbage"),
        (("fsck", "--repair"), "list_objects", "artifacts/", "what was mended stays mended"),
        (("fsck", "--from", "copy"), "list_objects", "artifacts/", "what was mended stays mended"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_so_do_the_others(five, ask, monkeypatch, command, verb, part, said):
    five.prune("a", versions=[1])
    shutil.copytree("store", "copy")
    with monkeypatch.context() as patched:
        interrupt(patched, verb, part)
        answer = ask(*command)
    assert (answer.code, answer.err) == (130, f"{said}{GOES_ON}error: interrupted\n")


@pytest.mark.parametrize("command", [("prune", "a", "--keep-last", "1"), ("gc", "--unsafe"), ("fsck", "--repair")])
def test_of_a_dry_run_nothing_is_said(five, ask, monkeypatch, command):
    interrupt(monkeypatch, "list_objects", "artifacts/")
    answer = ask(*command, "--dry-run")
    assert (answer.code, answer.err) == (130, "error: interrupted\n")


def test_a_collection_that_is_interrupted_leaves_no_folder_of_its_own(five, ask, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for options in ([], ["--dry-run"]):
        with monkeypatch.context() as patched:
            interrupt(patched, "list_objects", "blobs/")
            assert ask("gc", "--unsafe", *options).code == 130
        assert list(Path(tmp_path).glob("metamlflow-collect-*")) == []


def test_a_plan_that_cannot_be_read_is_told_without_numbers_of_the_system(five, ask):
    answer = ask("gc", "--plan", "nosuch")
    assert "plan: nosuch cannot be read: No such file or directory" in answer.err
    assert "Errno" not in answer.err
