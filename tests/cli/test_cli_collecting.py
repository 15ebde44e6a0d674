"""`gc` and `erase`: what scripts see of them."""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest

from metamlflow.backend import DeleteFailure
from metamlflow.errors import AccessDeniedError
from metamlflow_local.backend import LocalBackend

STATE = "artifacts/rides/_versions/9999999998_v1.state-9999999998.json"
MANIFEST = "artifacts/rides/_versions/9999999998_v1.json"
DAYS = 10 * 24 * 3600


@pytest.fixture
def pruned(work, ask):
    """A store with a version that was pruned ten days ago and a live one, both older than that."""
    for content in (b"1,2\n", b"3,4\n"):
        (work / "rides.csv").write_bytes(content)
        assert ask("register", "rides", "rides.csv").code == 0
    store = work / "store"
    digest = f"sha256:{hashlib.sha256((store / MANIFEST).read_bytes()).hexdigest()}"
    origin = {"format": 1, "record_id": "5" * 32, "created_at": "2026-01-01T00:00:00Z"}
    (store / STATE).write_text(json.dumps(origin | {"state": "pruned", "manifest_digest": digest}))
    for path in store.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - DAYS,) * 2)
    return store


def blobs(store):
    return sorted(path.name for path in store.glob("blobs/sha256/*/*"))


def test_gc_tells_what_it_would_delete_and_then_deletes_it(ask, pruned):
    answer = ask("gc", "--dry-run")
    assert (answer.code, len(blobs(pruned))) == (0, 2)
    (line,) = answer.out.splitlines()
    reference, objects, size, reason = line.split("\t")
    assert (reference, objects, size) == ("rides@1", "1", "4")
    assert reason.startswith("it was pruned on ")
    assert ask("gc").out == answer.out
    assert len(blobs(pruned)) == 1
    assert ask("gc").out == ""
    assert ask("verify", "rides@2").code == 0


def test_gc_carries_a_saved_plan_out(work, ask, pruned):
    assert ask("gc", "--dry-run", "--save", "cleanup.plan").code == 0
    answer = ask("gc", "--plan", "cleanup.plan", "--json")
    document = json.loads(answer.out)
    assert (document["kind"], document["deleted"], document["freed"]) == ("collection", 1, 4)
    assert len(blobs(pruned)) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--save", "x"), 2, "--dry-run"),
        (("--plan", "x", "--dry-run"), 2, "--plan"),
        (("--plan", "no-such-file"), 2, "--plan: "),
        (("--grace", "1d"), 2, "--grace: "),
        (("--grace", "soon"), 2, "--grace"),
    ],
)
def test_gc_refuses_what_makes_no_sense(ask, pruned, arguments, code, said):
    answer = ask("gc", *arguments)
    assert (answer.code, len(blobs(pruned))) == (code, 2)
    assert said in answer.err


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "", "9" * 5000, '{"file": "metamlflow"}'])
def test_gc_refuses_a_file_that_is_no_plan(work, ask, pruned, content):
    (work / "plan").write_text(content)
    answer = ask("gc", "--plan", "plan")
    assert (answer.code, len(blobs(pruned))) == (2, 2)
    assert answer.err.startswith("error: --plan: ")


@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["run", "dry-run"])
def test_gc_says_where_there_is_no_store(work, ask, options):
    (work / "elsewhere").mkdir()
    answer = ask("gc", *options, "--store", "elsewhere")
    assert answer.code == 3
    assert "there is no metamlflow store at" in answer.err
    assert "hint: " in answer.err
    assert list((work / "elsewhere").iterdir()) == []


def test_gc_names_what_it_could_not_delete_and_exits_with_five_as_other_commands_that_could_not_do_all(ask, pruned):
    if os.geteuid() == 0:
        pytest.skip("root deletes what it likes")
    (blob,) = [path for path in pruned.glob("blobs/sha256/*/*") if path.read_bytes() == b"1,2\n"]
    blob.parent.chmod(0o500)
    answer = ask("gc")
    blob.parent.chmod(0o700)
    assert answer.code == 5
    assert answer.out.splitlines()[1].split("\t")[:2] == ["rides@1", "failed"]


@pytest.mark.parametrize(("command", "kind"), [("gc", "blobs/"), ("erase", "artifacts/")])
def test_who_may_not_delete_something_is_told_and_the_command_exits_with_five(ask, pruned, monkeypatch, command, kind):
    assert ask("annotate", "rides@1", "--title", "noted").code == 0

    def denied(self, infos):
        return [DeleteFailure(info.key, AccessDeniedError("you may not", key=info.key)) for info in infos]

    monkeypatch.setattr(LocalBackend, "delete_seen", denied)
    answer = ask(*{"gc": ("gc",), "erase": ("erase", "rides@1")}[command])
    assert answer.code == 5
    assert kind in answer.out


def test_gc_stops_at_what_it_does_not_know(ask, pruned):
    (pruned / "packs").mkdir()
    (pruned / "packs" / "x").write_text("?")
    answer = ask("gc")
    assert (answer.code, len(blobs(pruned))) == (1, 2)
    assert "packs/x" in answer.err


def test_erase_tells_what_goes_and_what_stays_and_does_it(ask, pruned):
    answer = ask("erase", "rides@1", "--reason", "asked for", "--dry-run")
    rows = [line.split("\t") for line in answer.out.splitlines()]
    assert ["goes", MANIFEST, "manifest"] in rows
    assert any(row[0] == "stays" for row in rows)
    assert (answer.code, (pruned / STATE.replace("state-9999999998", "tomb")).exists()) == (0, False)
    planned = json.loads(ask("erase", "rides@1", "--reason", "asked for", "--dry-run", "--json").out)["manifest_from"]
    document = json.loads(ask("erase", "rides@1", "--reason", "asked for", "--json").out)
    assert (document["kind"], document["reason"], document["ok"]) == ("erasure", "asked for", True)
    assert document["manifest_from"] is not None, "on a disk the manifest goes half a grace later"
    assert planned[:10] <= document["manifest_from"][:10], "the dry run says when, too"
    (later,) = [row for row in ask("erase", "rides@1").out.splitlines() if row.startswith("later\t")]
    assert document["manifest_from"][:10] in later
    assert (ask("show", "rides@1").code, ask("history", "rides").code, ask("verify", "--all").code) == (3, 0, 0)


@pytest.mark.parametrize(("reference", "code"), [("rides@2", 4), ("rides", 2), ("rides@9", 3), ("nobody@1", 3)])
def test_erase_refuses_what_is_live_unnamed_or_not_there(ask, pruned, reference, code):
    assert ask("erase", reference).code == code
