"""A plan of faults does what it says: to the calls that it names, and to no others."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from metamlflow.backend import Backend
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    ObjectNotFoundError,
    StorageUnavailableError,
)
from metamlflow.testing import (
    BackendSuite,
    Crash,
    Crashed,
    FailBefore,
    FalseConflict,
    FaultyBackend,
    FlippedBit,
    Late,
    LostReply,
    MemoryBackend,
    Truncated,
    blob_of,
    simulated_crash,
)
from metamlflow_local import LocalBackend


class TestWithoutFaults(BackendSuite):
    """With an empty plan it keeps every promise that the inner backend keeps."""

    put_memory_bytes = 200 * 1024 * 1024

    @pytest.fixture
    def backend(self):
        return FaultyBackend(MemoryBackend())

    def reopen(self, backend):
        return FaultyBackend(MemoryBackend(backend.inner.bucket))


def keys_in(backend: Backend) -> list[str]:
    return [info.key for info in backend.list_objects()]


def test_a_refused_call_is_not_applied():
    inner = MemoryBackend()
    backend = FaultyBackend(inner, [FailBefore(verb="create", key="a/*", nth=2)])
    backend.create("a/1", b"1")
    with pytest.raises(StorageUnavailableError):
        backend.create("a/b/2", b"2")
    backend.create("a/3", b"3")
    backend.create("b", b"4")
    assert keys_in(inner) == ["a/1", "a/3", "b"]


def test_a_refused_call_fails_with_the_error_of_the_plan():
    fault = FailBefore(error=lambda where: AccessDeniedError(f"{where}: no", key=where))
    with pytest.raises(AccessDeniedError, match="stat x: no"):
        FaultyBackend(MemoryBackend(), [fault]).stat("x")


def test_a_lost_reply_leaves_the_call_applied():
    inner = MemoryBackend()
    backend = FaultyBackend(inner, [LostReply(verb="create|put")])
    with pytest.raises(StorageUnavailableError, match="the reply was lost"):
        backend.create("a", b"1")
    assert inner.read("a") == b"1"
    assert backend.put("b", blob_of(b"2")) is True


def test_a_lost_reply_hides_a_conflict_too():
    inner = MemoryBackend()
    inner.create("a", b"theirs")
    with pytest.raises(StorageUnavailableError) as caught:
        FaultyBackend(inner, [LostReply()]).create("a", b"mine")
    assert isinstance(caught.value.__cause__, AlreadyExistsError)


def test_a_false_conflict_leaves_nothing():
    backend = FaultyBackend(MemoryBackend(), [FalseConflict(key="*_v2.json")])
    backend.create("a_v1.json", b"1")
    with pytest.raises(AlreadyExistsError):
        backend.create("a_v2.json", b"2")
    assert keys_in(backend) == ["a_v1.json"]
    backend.create("a_v2.json", b"2")


def test_a_fault_strikes_as_often_as_it_says():
    backend = FaultyBackend(MemoryBackend(), [FailBefore(verb="create", nth=2, times=2)])
    outcomes = []
    for number in range(5):
        try:
            backend.create(str(number), b"x")
        except StorageUnavailableError:
            outcomes.append("failed")
        else:
            outcomes.append("created")
    assert outcomes == ["created", "failed", "failed", "created", "created"]


def test_a_lasting_fault_strikes_until_the_end():
    backend = FaultyBackend(MemoryBackend(), [FailBefore(verb="stat", times=None)])
    for _ in range(5):
        with pytest.raises(StorageUnavailableError):
            backend.stat("a")


def test_the_first_of_two_faults_strikes_and_both_count():
    backend = FaultyBackend(MemoryBackend(), [FalseConflict(nth=1), FailBefore(verb="create", nth=1, times=2)])
    with pytest.raises(AlreadyExistsError):
        backend.create("a", b"1")
    with pytest.raises(StorageUnavailableError):
        backend.create("a", b"1")
    backend.create("a", b"1")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(Truncated(length=3), b"012"), (Truncated(), b""), (FlippedBit(at=2), b"0133456789"), (FlippedBit(at=99), None)],
    ids=["cut", "cut-to-nothing", "flipped", "flipped-beyond"],
)
def test_reads_and_readers_can_be_damaged(fault, expected):
    content = b"0123456789"
    for look in (lambda backend: backend.read("a"), lambda backend: backend.open("a").read()):
        backend = FaultyBackend(MemoryBackend(), [fault])
        backend.put("a", blob_of(content))
        assert look(backend) == (content if expected is None else expected)
        assert look(backend) == content


def test_a_late_write_lands_after_further_calls():
    inner = MemoryBackend()
    backend = FaultyBackend(inner, [Late(key="a", calls=2)])
    with pytest.raises(StorageUnavailableError):
        backend.create("a", b"late")
    with pytest.raises(ObjectNotFoundError):
        backend.read("a")
    assert backend.read("a") == b"late"
    assert backend.late_outcomes == [None]


def test_a_late_write_lands_after_a_time_or_when_settled():
    inner = MemoryBackend()
    backend = FaultyBackend(inner, [Late(key="a", seconds=0.01), Late(key="b")])
    for key in "ab":
        with pytest.raises(StorageUnavailableError):
            backend.put(key, blob_of(b"late"))
    deadline = time.monotonic() + 10
    while not keys_in(inner) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert keys_in(inner) == ["a"]
    backend.settle()
    backend.settle()
    assert keys_in(inner) == ["a", "b"]


def test_a_late_write_that_comes_too_late_says_so():
    backend = FaultyBackend(MemoryBackend(), [Late(key="a", calls=2)])
    with pytest.raises(StorageUnavailableError):
        backend.create("a", b"late")
    backend.create("a", b"again")
    assert backend.read("a") == b"again"
    assert [type(outcome) for outcome in backend.late_outcomes] == [AlreadyExistsError]


def test_a_listing_fails_when_it_is_read_and_counts_when_it_is_asked_for():
    backend = FaultyBackend(MemoryBackend(), [FailBefore(verb="list_objects", key="a/*")])
    listing = backend.list_objects("a/b")
    assert backend.calls == [("list_objects", "a/b")]
    with pytest.raises(StorageUnavailableError):
        next(listing)
    assert list(backend.list_objects("a/b")) == []


def test_a_delete_is_hit_through_any_of_its_keys():
    inner = MemoryBackend()
    inner.create("a", b"1")
    backend = FaultyBackend(inner, [FailBefore(verb="delete", key="b")])
    with pytest.raises(StorageUnavailableError):
        backend.delete(key for key in ("a", "b"))
    assert keys_in(inner) == ["a"]
    assert backend.calls == [("delete", "a b")]


def test_every_call_is_logged_in_order():
    backend = FaultyBackend(MemoryBackend(), [FailBefore(verb="read")])
    backend.create("a", b"1")
    with pytest.raises(StorageUnavailableError):
        backend.read("a", 1, 2)
    backend.put("b", blob_of(b"2"))
    backend.open("a").close()
    backend.stat("a")
    list(backend.list_objects())
    backend.delete(["a"])
    assert [call.verb for call in backend.calls] == ["create", "read", "put", "open", "stat", "list_objects", "delete"]
    assert [call.key for call in backend.calls] == ["a", "a", "b", "a", "a", "", "a"]


def test_calls_from_many_threads_are_each_counted_once():
    backend = FaultyBackend(MemoryBackend(), [FailBefore(verb="create", nth=100)])
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        failures = 0
        for turn in range(50):
            try:
                backend.create(f"{number}/{turn}", b"x")
            except StorageUnavailableError:
                failures += 1
        return failures

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 1
    assert (len(backend.calls), len(keys_in(backend.inner))) == (400, 399)


def three_writes(backend):
    try:
        backend.create("a", b"1")
        backend.put("b", blob_of(b"2"))
        backend.create("c", b"3")
    finally:
        backend.delete(["a"])  # a clean-up, which the dead do not do


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_use_case_can_be_crashed_at_every_call(when):
    rehearsal = FaultyBackend(MemoryBackend())
    three_writes(rehearsal)
    assert len(rehearsal.calls) == 4
    left = []
    for number in range(1, len(rehearsal.calls) + 1):
        inner = MemoryBackend()
        backend = FaultyBackend(inner, [Crash(nth=number, when=when, crash=simulated_crash)])
        with pytest.raises(Crashed):
            three_writes(backend)
        with pytest.raises(Crashed):
            backend.create("from the grave", b"x")
        left.append("".join(keys_in(inner)))
    assert left == {"before": ["", "a", "ab", "abc"], "after": ["a", "ab", "abc", "bc"]}[when]


def test_a_crash_after_a_call_comes_also_where_the_call_failed():
    backend = FaultyBackend(MemoryBackend(), [Crash(when="after", crash=simulated_crash)])
    with pytest.raises(Crashed):
        backend.read("missing")


CHILD = """
import sys
from pathlib import Path
from metamlflow.testing import Crash, FaultyBackend
from metamlflow_local import LocalBackend

backend = FaultyBackend(LocalBackend(Path(sys.argv[1])), [Crash(verb="create", nth=2, when=sys.argv[2])])
try:
    backend.create("a", b"1")
    backend.create("b", b"2")
finally:
    print("cleaned up", flush=True)
"""


@pytest.mark.parametrize(("when", "left"), [("before", ["a"]), ("after", ["a", "b"])])
def test_a_real_crash_kills_the_process_on_the_spot(tmp_path, when, left):
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), when], capture_output=True, text=True, timeout=60, check=False
    )
    assert (child.returncode, child.stdout) == (-signal.SIGKILL, ""), child.stderr
    assert keys_in(LocalBackend(tmp_path)) == left


def test_the_models_and_faults_need_no_pytest():
    code = "import sys, metamlflow.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_what_the_package_names_is_there():
    import metamlflow.testing

    assert [name for name in metamlflow.testing.__all__ if not hasattr(metamlflow.testing, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        metamlflow.testing.Nonsense  # noqa: B018 (the look-up is the test)
