"""Sorted runs in files give back what was put in, and the merge with a listing judges as a look at sets would."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metamlflow.store.retain.collecting import kept
from metamlflow.store.retain.collecting.kept import PARTS, STANDINGS, NamedKeys, named_key, split_key
from metamlflow.store.retain.collecting.sweeping import _Named
from metamlflow.store.retain.sorted_runs import SortedRuns

DIGESTS = [f"{first:x}{number:063x}" for first in (0, 1, 15) for number in range(3)]
RESTS = ["", ".csv", ".csv.gz", f"-{'a' * 32}", f"-{'b' * 32}.csv"]
KEYS = st.builds(
    lambda digest, rest: f"blobs/sha256/{digest[:2]}/{digest}{rest}", *map(st.sampled_from, (DIGESTS, RESTS))
)
SIZES = st.integers(0, 3)
NAMED = st.lists(st.tuples(KEYS, st.sampled_from(STANDINGS), SIZES, st.integers(0, 2**40)), max_size=30)


@pytest.mark.full
@settings(deadline=None, max_examples=150)
@given(named=NAMED, listed=st.dictionaries(KEYS, SIZES), most=st.sampled_from([0, 200, 100_000]))
def test_each_listed_key_is_judged_by_the_firmest_version_and_what_is_not_whole_is_found(named, listed, most):
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(kept, "_MOST_BYTES", most)
        keys = NamedKeys(Path(folder))
        for key, standing, size, owner in named:
            keys.add(record + owner.to_bytes(8, "big") for record in named_key(key, standing, size))
        keys.flush()
        judged, wrong = {}, set()
        for part in range(PARTS):
            beside = _Named(keys.of_part(part))
            for key in sorted(key for key in listed if int(key[13], 16) == part):
                found = beside.of(*split_key(key), listed[key])
                judged[key] = found and found.standing
            beside.finish()
            wrong |= {(each.digest, each.size, each.actual) for each in beside.wrong}
    firmest = {}
    for key, standing, *_ in named:
        firmest[key] = min(firmest.get(key, standing), standing, key=STANDINGS.index)
    assert judged == {key: firmest.get(key) for key in listed}
    live = [(key, size) for key, standing, size, _ in named if standing == "live"]
    assert wrong == {(key[16:80], size, listed.get(key)) for key, size in live if listed.get(key) != size}


@pytest.mark.parametrize(
    "key", ["blobs/sha256/00/short", "blobs/readme", "artifacts/a", "", f"blobs/sha256/01/{'0' * 64}"]
)
def test_what_is_no_blob_key_names_nothing(key):
    assert named_key(key, "live", 1) == []
    assert split_key(key) is None


def test_a_folder_of_a_collection_goes_with_it_also_after_an_error():
    def fail(folder: Path) -> None:
        (folder / "x").write_text("x")
        raise ZeroDivisionError

    scratch = kept.Scratch()
    with pytest.raises(ZeroDivisionError), scratch as folder:
        fail(folder)
    assert not folder.exists()
    scratch = kept.Scratch()
    path = scratch.path
    assert path.exists()
    del scratch
    assert not path.exists()


RECORDS = st.lists(st.binary(min_size=2, max_size=2), max_size=40)
BOUND = st.binary(max_size=2)


@settings(deadline=None, max_examples=150)
@given(
    records=RECORDS, most=st.sampled_from([0, 200, 100_000]), first=st.binary(max_size=2), last=st.binary(max_size=2)
)
def test_records_of_one_size_are_read_back_sorted_whole_and_between_two_bounds(records, most, first, last):
    with SortedRuns(most, size=2) as runs:
        for record in records:
            runs.add(record)
        assert sorted(set(runs)) == [record for record, _ in itertools.groupby(runs)] == sorted(set(records))
        assert set(runs.between(first, last or None)) == {r for r in records if first <= r and (not last or r < last)}


@settings(deadline=None, max_examples=100)
@given(lines=st.lists(st.binary(max_size=6).filter(lambda line: b"\n" not in line)), most=st.sampled_from([0, 200]))
def test_lines_are_read_back_sorted_several_times_at_once(lines, most):
    with SortedRuns(most) as runs:
        for line in lines:
            runs.add(line)
        for one, other in zip(runs, runs, strict=True):
            assert one == other
        assert [line for line, _ in itertools.groupby(runs)] == sorted(set(lines))


def test_files_of_sorted_runs_go_when_their_context_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with SortedRuns(0) as runs:
        runs.add(b"x")
        assert list(tmp_path.rglob("run-0"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 16, 17, 18, 40, 200, 700])
@pytest.mark.parametrize("size", [None, 3])
def test_there_are_never_more_than_sixteen_runs_and_each_record_is_seldom_written_again(count, size, monkeypatch):
    written = []
    write = SortedRuns._write
    monkeypatch.setattr(
        SortedRuns, "_write", lambda runs, records: write(runs, (written.append(it) or it for it in records))
    )
    with SortedRuns(0, size=size) as runs:
        for number in range(count):
            runs.add(b"%03d" % (number * 7919 % count))
            assert len(list(runs._folder.iterdir())) <= 16
        assert len(set(runs)) == count
        assert list(runs) == sorted(runs)
    assert len(written) <= 4 * count


FEW_FILES = """
import resource, sys, threading
from pathlib import Path
from metamlflow.store.retain import sorted_runs
from metamlflow.store.retain.blob_index import BlobIndex
from metamlflow.store.retain.collecting import kept
from metamlflow.store.transfer.scheduler import in_parallel
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
kept._MOST_BYTES = 10_000
keys, count = kept.NamedKeys(Path(sys.argv[1])), 10_000
keys.add(bytes([number % 256]) * 24 + number.to_bytes(8, "big") + bytes(33) for number in range(count))
keys.flush()
together = threading.Barrier(16)
def read(part):
    return sum(1 for number, _ in enumerate(keys.of_part(part)) if number or together.wait(60) >= 0)
assert sum(in_parallel(read, range(16))) == count
with BlobIndex(10_000) as index:
    for number in range(count):
        index.add(number, b"blobs/%d\t1\t\t\t-" % (number % 7_000))
    assert sum(1 for _ in zip(index.by_key(), index.by_key(), index.by_key())) == 7_000
"""


def test_sixteen_readers_of_many_keys_and_three_of_many_blobs_need_few_open_files(tmp_path):
    subprocess.run([sys.executable, "-c", FEW_FILES, str(tmp_path)], check=True, timeout=300)


PROGRAM = """
import hashlib, sys
from pathlib import Path
from metamlflow.store.retain.collecting.kept import NamedKeys, named_key
keys = NamedKeys(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    keys.add(record + bytes(8) for record in named_key(f"blobs/sha256/{digest[:2]}/{digest}", "live", number))
keys.flush()
assert sum(1 for part in range(16) for _ in keys.of_part(part)) == int(sys.argv[2])
with open("/proc/self/status") as status:  # not getrusage, which also tells of whoever started this process
    print(int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.full
def test_memory_does_not_grow_with_the_number_of_keys(tmp_path):
    def peak(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        command = [sys.executable, "-c", PROGRAM, str(folder), str(count)]
        return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    least = peak(300_000)
    assert peak(1_500_000) < least + 20
    assert least < 150
