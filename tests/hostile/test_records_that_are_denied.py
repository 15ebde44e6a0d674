"""A storage that lists a record, and says once, twice or always that it does not exist, takes nothing unnoticed."""

from __future__ import annotations

import json
import warnings

import pytest
from honest_store import build
from reading_calls import CALLS, Reading
from test_hostile_stores import problem_of

from metamlflow import MetaMLFlowClient, MetaMLFlowError
from metamlflow.errors import DamagedRecordWarning, ObjectNotFoundError
from metamlflow.store.catalog.clock import Clock
from metamlflow_local import LocalBackend

TIMES = (1, 2, 10**9)
READ = sorted(CALLS.keys() - {"doctor", "looks"})  # the one looks at the machine, the other shows nothing of the others


class Denial:
    """What is said not to exist, and how often."""

    key, left, said = "", 0, 0

    def begin(self, key, times):
        self.key, self.left, self.said = key, times, 0

    def says(self, key):
        if key != self.key or not self.left:
            return False
        self.left, self.said = self.left - 1, self.said + 1
        return True


@pytest.fixture
def store(tmp_path, monkeypatch):
    build(tmp_path / "store", tmp_path / "lake")
    monkeypatch.setenv("METAMLFLOW_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("METAMLFLOW_STORAGE_URI", f"file://{tmp_path / 'store'}")
    monkeypatch.setenv(
        "METAMLFLOW_POINTER_POLICY", json.dumps({"file": "refuse", f"file://{tmp_path / 'lake'}/": "allow"})
    )
    monkeypatch.setattr(Clock, "back_off", lambda *_: None)
    return tmp_path / "store"


@pytest.fixture
def denial(monkeypatch):
    denial, read = Denial(), LocalBackend.read

    def denied(backend, key, *more, **options):
        if denial.says(key):
            raise ObjectNotFoundError(f"there is no object {key}", key=key)
        return read(backend, key, *more, **options)

    monkeypatch.setattr(LocalBackend, "read", denied)
    return denial


def outcome_of(call, store, scratch):
    scratch.mkdir()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            value = CALLS[call](Reading(MetaMLFlowClient(f"file://{store}"), store, scratch))
            outcome = {"value": value}
        except MetaMLFlowError as error:
            outcome = {"error": type(error).__name__}
    outcome |= {"seconds": 0, "requests": {}, "warned": [warning.category.__name__ for warning in told]}
    return json.loads(json.dumps(outcome, default=repr).replace(str(scratch), "<scratch>"))


@pytest.mark.full
@pytest.mark.parametrize("call", READ)
def test_each_call_gives_what_was_registered_or_an_error_whichever_record_is_denied(call, store, denial, tmp_path):
    expected = outcome_of(call, store, tmp_path / "honest")
    records = [str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()]
    denied, problems = 0, {}
    for number, key in enumerate(key for key in sorted(records) if not key.startswith("blobs/")):
        for times in TIMES:
            denial.begin(key, times)
            found = outcome_of(call, store, tmp_path / f"{number} {times}")
            said, denial.left = denial.said, 0
            if not said:
                break  # this call does not read it
            denied += 1
            if problem := problem_of(call, found, expected):
                problems[key, times] = problem
    assert not problems
    assert denied


@pytest.mark.full
def test_fsck_tells_of_each_record_that_the_storage_lists_and_denies(store, denial):
    client = MetaMLFlowClient(f"file://{store}")
    client.protect("data@1", note="kept")
    assert client.fsck().ok
    records = [str(path.relative_to(store)) for path in store.rglob("*.json") if path.is_file()]
    untold = []
    for key in records:
        denial.begin(key, TIMES[-1])
        try:
            ok = client.fsck().ok
        except MetaMLFlowError:  # of the store itself
            ok = False
        if ok and denial.said:
            untold.append(key)
    assert untold == []


@pytest.mark.full
def test_a_protection_that_is_listed_and_denied_is_told_and_protects(store, denial):
    client = MetaMLFlowClient(f"file://{store}")
    client.protect("data@1", note="kept")
    (key,) = [str(path.relative_to(store)) for path in store.rglob("protections/data/_v1/*.json")]
    denial.begin(key, TIMES[-1])
    with pytest.warns(DamagedRecordWarning, match="lists protections/data/_v1"):
        assert "data" not in {protection.name for protection in client.protections()}
    assert not client.prune("data", versions=[1]).pruned
    denial.begin(key, 1)
    assert "data" in {protection.name for protection in client.protections()}
