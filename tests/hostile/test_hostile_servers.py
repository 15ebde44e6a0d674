"""Whoever controls the server, or the network before it, cannot make a reader take wrong bytes, or take it down."""

from __future__ import annotations

import pytest
from cases_of_servers import CASES
from honest_store import build
from hostile_server import BUCKET, HostileServer
from reading_process import Order, ReadingProcess
from test_hostile_stores import problem_of

CALLS = ("get-alias", "list", "read-bytes", "verify-full")
GROWTH_BYTES = 400 * 1024 * 1024
SECONDS = 60  # of one call: some wait for a server that may recover
REQUESTS = 2_000
WAITING = {
    ("a listing that laughs a billion times", "auto"): "the fast engine takes it for a listing of nothing",
}
"""Known faults: each of these cases fails, and says so once it does not."""
WITHOUT_END = {
    ("content of 3 GB where 9 bytes were asked for", "auto"): "the fast engine takes all that is announced",
    ("a drip of one byte a second", "auto"): "the fast engine waits, and the other one after it",
    ("a listing of empty pages", "auto"): "the fast engine is given 15 s, and the other one begins after it",
    **{("a listing without end", engine): "a client of S3 takes in all of an answer" for engine in ("auto", "s3fs")},
}
"""Known faults that take minutes to show: these are not run."""


def cases():
    for case in CASES:
        for engine in ("auto", "s3fs"):
            known, slow = WAITING.get((case, engine)), WITHOUT_END.get((case, engine))
            marks = [pytest.mark.xfail(reason=known or slow, strict=True, run=not slow)] if known or slow else []
            yield pytest.param(case, engine, marks=marks, id=f"{case}-{engine}")


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("honest")
    build(folder / "store", folder / "lake")
    return folder / "store"


@pytest.fixture(scope="module")
def readers():
    with ReadingProcess() as process:
        yield process


@pytest.fixture
def read(readers, honest, tmp_path):
    def read_all(lie, engine):
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        with HostileServer(honest, lie) as server:
            options = {
                "key": "test",
                "secret": "test",
                "endpoint_url": server.url,
                "client_kwargs": {"region_name": "us-east-1"},
            }
            variables = {"METAMLFLOW_S3_ENGINE": engine, "AWS_EC2_METADATA_DISABLED": "true"}
            order = Order(f"s3://{BUCKET}", str(honest), str(scratch), list(CALLS), [], options, remote=True)
            order.variables = variables
            return readers.run(order), server.counts

    return read_all


@pytest.fixture(scope="module")
def expected(readers, honest, tmp_path_factory):
    return readers.run(Order(f"file://{honest}", str(honest), str(tmp_path_factory.mktemp("s")), list(CALLS)))


@pytest.mark.parametrize("engine", ["auto", "s3fs"])
def test_an_honest_server_is_read_as_the_folder_is(engine, read, expected):
    outcomes, _ = read(lambda *_: None, engine)
    assert outcomes.pop("")["seen"] == []
    assert {name: outcome.get("value", outcome) for name, outcome in outcomes.items()} == {
        name: expected[name]["value"] for name in outcomes
    }


@pytest.mark.emulator
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("case", "engine"), [*cases()])
def test_a_hostile_server_gives_what_was_registered_or_an_error(case, engine, read, expected):
    outcomes, counts = read(CASES[case], engine)
    told = outcomes.pop("")
    assert "died" not in told, told
    assert told["seen"] == []
    assert told["grown"] < GROWTH_BYTES
    assert counts.total() < REQUESTS
    found = {name: problem_of(name, outcome | {"requests": {}}, expected[name]) for name, outcome in outcomes.items()}
    problems = {name: problem for name, problem in found.items() if problem}
    assert not problems, "\n\n".join(f"{name}: {problem}" for name, problem in problems.items())


def test_there_are_as_many_cases_as_promised():
    assert len(CASES) >= 20
    assert {case for case, _ in WAITING | WITHOUT_END} <= CASES.keys()
