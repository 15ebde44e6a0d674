"""The files that differ between two versions: right, in constant memory, and no equal part of a list is read."""

from __future__ import annotations

import gc
import hashlib
import os
import pickle
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_versions import item, write_version

from metamlflow import MetaMLFlowClient
from metamlflow.errors import IntegrityError
from metamlflow.testing import FaultyBackend, MemoryBackend, MemoryBucket, client_on

SHARDED = pytest.mark.parametrize("inline", [1, 1000])


@pytest.fixture
def client(tmp_path):
    return MetaMLFlowClient(tmp_path / "store")


def versions(client, *contents):
    """Versions of one name, each of a mapping of path to bytes."""
    return [client.register_artifact("a", dict(content), "dataset") for content in contents]


def found(diff) -> dict[str, list]:
    """The differences as plain values."""
    assert {what: len(getattr(diff.files, what)) for what in diff.files.counts} == diff.files.counts
    return {
        "added": [one.path for one in diff.files.added],
        "removed": [one.path for one in diff.files.removed],
        "modified": [one.path for one in diff.files.modified],
        "renamed": [(one.before.path, one.after.path) for one in diff.files.renamed],
    }


@SHARDED
def test_files_are_added_removed_modified_and_renamed(client, inline, monkeypatch):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", inline)
    before = {"a.csv": b"1", "b/c.csv": b"2", "b/d.csv": b"3", "old": b"four", "same": b"5"}
    after = {"a.csv": b"1!", "b/d.csv": b"3", "e/c.csv": b"2", "new": b"six", "same": b"5"}
    old, new = versions(client, before, after)
    diff = old.diff(new)
    assert diff
    assert not diff.equal
    assert found(diff) == {
        "added": ["new"],
        "removed": ["old"],
        "modified": ["a.csv"],
        "renamed": [("b/c.csv", "e/c.csv")],
    }
    (change,) = diff.files.modified
    assert (change.before.size, change.after.size, change.what) == (1, 2, "content")
    assert "new" in diff.files.added
    assert "e/c.csv" in diff.files.renamed
    assert "same" not in diff.files.modified
    back = new.diff(old)
    assert found(back)["renamed"] == [("e/c.csv", "b/c.csv")]
    assert not old.diff(old).files
    assert old.diff(old).equal
    assert found(pickle.loads(pickle.dumps(diff))) == found(diff)


def test_files_are_read_to_their_end_though_nobody_holds_the_difference(client):
    for content in (b"old", b"new"):
        client.register_artifact("many", {f"{number:04}": content + b"%d" % number for number in range(600)})
    found = iter(client.diff("many@1", "many@2").files.modified)
    gc.collect()
    assert [change.path for change in found] == [f"{number:04}" for number in range(600)]
    assert sum(1 for _ in client.diff("many@1", "many@2").files.modified.paths) == 600


def test_of_several_files_with_one_content_the_pairs_are_always_the_same(client):
    content = b"many"
    before = dict.fromkeys(("a/x", "b/y", "c/z", "d/w"), content)
    after = dict.fromkeys(("e/z", "f/y", "g/q"), content)
    old, new = versions(client, before, after)
    # Those with the same last part of the path first, and the rest in path order.
    assert found(old.diff(new)) == {
        "added": [],
        "removed": ["d/w"],
        "modified": [],
        "renamed": [("c/z", "e/z"), ("b/y", "f/y"), ("a/x", "g/q")],
    }


def test_empty_files_and_folders_are_not_renamed(client, tmp_path):
    (tmp_path / "one" / "nothing").mkdir(parents=True)
    (tmp_path / "one" / "empty").touch()
    (tmp_path / "two" / "nought").mkdir(parents=True)
    (tmp_path / "two" / "void").touch()
    old, new = (client.register_artifact("a", tmp_path / folder) for folder in ("one", "two"))
    assert found(old.diff(new)) == {
        "added": ["nought", "void"],
        "removed": ["empty", "nothing"],
        "modified": [],
        "renamed": [],
    }


def test_the_executable_bit_and_the_place_are_differences_too(client, tmp_path):
    (tmp_path / "run").mkdir()
    script = tmp_path / "run" / "go.sh"
    script.write_bytes(b"true")
    old = client.register_artifact("a", tmp_path / "run")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    new = client.register_artifact("a", tmp_path / "run")
    (change,) = old.diff(new).files.modified
    assert (change.what, change.before.executable, change.after.executable) == ("executable", False, True)
    script.chmod(0o644)
    pointed = client.register_pointer("p", f"{tmp_path / 'run'}/", evidence="full")
    (change,) = old.diff(pointed).files.modified
    assert (change.what, change.before.uri, change.after.uri) == ("place", None, f"file://{script}")
    assert old.digest == pointed.digest


def test_pointers_without_a_digest_are_told_apart_by_their_evidence(client, tmp_path):
    (tmp_path / "lake").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "lake" / name).write_bytes(b"1")
    old = client.register_pointer("p", f"{tmp_path / 'lake'}/", evidence="stat")
    (tmp_path / "lake" / "b.csv").write_bytes(b"2")
    os.utime(tmp_path / "lake" / "b.csv", (1, 1))
    new = client.register_pointer("p", f"{tmp_path / 'lake'}/", evidence="stat")
    assert found(old.diff(new)) == {"added": [], "removed": [], "modified": ["b.csv"], "renamed": []}


CONTENTS = st.dictionaries(
    st.sampled_from(["a", "b", "c/a", "c/b", "d/a", "d/b", "e/f/a"]), st.sampled_from([b"", b"x", b"y"]), min_size=1
)


@settings(deadline=None, max_examples=60)
@given(CONTENTS, CONTENTS, st.booleans())
def test_the_differences_turn_one_version_into_the_other(before, after, sharded):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", 1 if sharded else 1000)
        client = client_on(MemoryBackend(MemoryBucket()))
        old, new = versions(client, before, after)
    seen = found(old.diff(new))
    turned = {path: data for path, data in before.items() if path not in seen["removed"]}
    for source, target in seen["renamed"]:
        assert before[source] == after[target] != b""
        del turned[source]
        turned[target] = before[source]
    for path in (*seen["added"], *seen["modified"]):
        assert turned.get(path) != after[path]
        turned[path] = after[path]
    assert turned == after
    gone = Counter(before[path] for path in seen["removed"])
    came = Counter(after[path] for path in seen["added"])
    assert not {data for data in gone & came if data}, "no file is left that could have been renamed"
    assert all(seen[what] == sorted(seen[what]) for what in ("added", "removed", "modified"))


# --- what is read -----------------------------------------------------------------------------------------------------


def test_parts_of_the_lists_that_are_equal_are_not_read(monkeypatch):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", 1)
    monkeypatch.setattr("metamlflow.format.entries._CUT_PREFIX", "0")  # shards of 16 files
    bucket = MemoryBucket()
    files = {f"{number:04}": b"%d" % number for number in range(640)}
    versions(client_on(MemoryBackend(bucket)), files, files | {"0300": b"other"})
    backend = FaultyBackend(MemoryBackend(bucket))
    client = client_on(backend)
    client.get_artifact("a")
    backend.calls.clear()
    diff = client.diff("a@1", "a@2")
    assert [call.verb for call in backend.calls] == ["read"] * 4, "both manifests, and that there are no tombs"
    backend.calls.clear()
    assert found(diff)["modified"] == ["0300"]
    assert len([call for call in backend.calls if call.key.endswith(".jsonl")]) == len(backend.calls) == 2
    backend.calls.clear()
    assert list(diff.files.modified)
    assert client.diff("a@1", "a@1").equal
    assert not [call for call in backend.calls if call.key.startswith("blobs/")]


def test_a_damaged_list_of_files_is_an_error_and_no_difference(monkeypatch, tmp_path):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", 1)
    client = MetaMLFlowClient(tmp_path / "store")
    versions(client, {"a": b"1", "b": b"2"}, {"a": b"1", "b": b"3"})
    (first, *_) = sorted((tmp_path / "store").rglob("*.jsonl"))
    first.chmod(0o644)
    first.write_bytes(first.read_bytes().replace(b'"size":1', b'"size":2'))
    diff = client.diff("a@1", "a@2")
    assert "a@1" in repr(diff), "nothing was read yet"
    for _ in range(2):
        with pytest.raises(IntegrityError):
            bool(diff.files)


def test_of_a_pruned_version_the_differences_are_told(client):
    versions(client, {"a": b"1"}, {"a": b"2"})
    client.prune("a", versions=1)
    assert found(client.diff("a@1", "a@2"))["modified"] == ["a"]


CHILD = """
import sys
from metamlflow import MetaMLFlowClient

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

diff = MetaMLFlowClient(sys.argv[1]).diff("a@1", "a@2")
print(diff.files.counts, sum(1 for _ in diff.lines()), file=sys.stderr)
print(peak())
"""


def peak_of_diff(root: Path, count: int) -> int:
    """The peak memory in bytes of a diff of so many files, half of which are renamed and a quarter modified."""
    MetaMLFlowClient(root).create_store()
    write_version(root, "a", 1, (item(f"data/{n:08}", f"{n}") for n in range(count)))

    def changed(n: int):
        digest = hashlib.sha256(b"%d" % n).digest()[0] % 4
        return item(f"data/{n:08}", f"{n}" if digest else f"new {n}")

    half = count // 2
    moved = [item(f"moved/{n:08}", f"{n}") for n in range(half, count)]
    write_version(root, "a", 2, [*(changed(n) for n in range(half)), *moved])
    done = subprocess.run([sys.executable, "-c", CHILD, root], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"'renamed': {half}" in done.stderr
    return int(done.stdout) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    "counts",
    [
        pytest.param((20_000, 40_000), marks=pytest.mark.full),
        pytest.param((250_000, 1_000_000), marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_a_diff_of_many_files_takes_no_more_memory_than_one_of_a_few(tmp_path, counts, monkeypatch):
    held = "metamlflow.store.diff.files._HELD_BYTES"
    child = CHILD.replace("import sys\n", f"import sys\nimport {held.rpartition('.')[0]} as files\n")
    if counts[0] < 100_000:  # so that these go to disk as well
        monkeypatch.setattr(
            sys.modules[__name__], "CHILD", child.replace("\ndef peak", "\nfiles._HELD_BYTES = 1 << 18\ndef peak")
        )
    few, many = (peak_of_diff(tmp_path / str(count), count) for count in counts)
    assert many < 300 * 1024 * 1024
    assert many - few < 24 * 1024 * 1024
