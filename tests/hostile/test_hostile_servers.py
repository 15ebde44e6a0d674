"""Whoever controls the server, or the network before it, cannot make a reader take wrong bytes, or take it down.

Every reading call is made on each server that lies, in children with little memory. Each outcome is exactly that of the
honest store, or an error of the library, or a report that says that something is wrong. One half of the calls goes
through one engine and the other through the other; the slow tests have them the other way round.
"""

from __future__ import annotations

import pytest
from cases_of_servers import CASES
from hostile_server import BUCKET, HostileServer, listing_of
from reading_calls import CALLS
from reading_process import CALL_SECONDS, Order
from test_hostile_stores import problem_of

HALVES = [
    pytest.param(("auto", "s3fs"), id="half"),
    pytest.param(("s3fs", "auto"), id="other half", marks=pytest.mark.slow),
]
"""The engines of every other child."""
GROWTH_BYTES = 400 * 1024 * 1024
REQUESTS = 30 * len(CALLS)  # of all calls together
CHILDREN = 4  # that share the calls of a case
AT_ONCE = 2  # of them: each has a time limit, and other workers have children, too. Those that wait run all at once
EMPTY_PAGES = "a listing of empty pages"
"""s3fs asks for a hundred of them, and the fast engine for those that come in a second: a bound for each call."""
DRIPS = {"a drip of one byte a second", "a drip of headers", "a listing that drips"}
"""Cases in which every call waits until it has waited enough."""
WAITING = {
    "headers without end",
    "records that are cut off",
    "a listing that is no XML",
    "a listing of nonsense sizes and times",
    "checksums that lie",
}
"""Cases in which most calls wait and ask again, and compute little: more of them at a time."""
LONG = DRIPS | WAITING
"""They are begun first."""
DRIP_SECONDS = 120  # for a call that waits; the doctor makes one check after the other
SILENCE = {"connect_timeout": 1, "read_timeout": 1}
"""How long a server may be silent, and take for the head of an answer: reads go on trying, and a test cannot wait."""
SAYS_NOTHING = {"a listing that laughs a billion times": "auto"}
"""The fast engine reads no entities, so it finds a listing of nothing; and a server may say that there is nothing."""


@pytest.fixture
def read(readers, honest, tmp_path):
    def read_all(lie, engines, children=CHILDREN, **config):
        """Return each call's outcome, what is told of each child, and the number of requests."""
        with HostileServer(honest, lie) as server:
            orders = [
                order_of(honest, server.url, engines[first % 2], scratch, list(CALLS)[first::children], config)
                for first, scratch in enumerate(tmp_path / str(number) for number in range(children))
            ]
            outcomes = readers.run_all(orders, AT_ONCE if children == CHILDREN else None)
            told = [found.pop("") for found in outcomes]
            return {name: found[name] for found in outcomes for name in found}, told, server.counts.total()

    return read_all


def order_of(honest, url, engine, scratch, calls, config):
    scratch.mkdir(exist_ok=True)
    options = {
        "key": "test",
        "secret": "test",
        "endpoint_url": url,
        "client_kwargs": {"region_name": "us-east-1"},
        "config_kwargs": config,
    }
    variables = {"METAMLFLOW_S3_ENGINE": engine, "AWS_EC2_METADATA_DISABLED": "true"}
    return Order(f"s3://{BUCKET}", str(honest), str(scratch), calls, [], options, variables, remote=True)


@pytest.mark.parametrize("engines", [("auto", "s3fs"), ("s3fs", "auto")], ids=["half", "other half"])
def test_an_honest_server_is_read_as_the_folder_is(engines, read, expected):
    outcomes, told, requests = read(lambda *_: None, engines)
    assert [child["seen"] for child in told] == [[]] * CHILDREN
    assert {name: outcome.get("value") for name, outcome in outcomes.items()} == {
        name: expected[name].get("value") for name in CALLS
    }
    assert requests < REQUESTS


def assert_within_bounds(outcomes, told, requests, most=REQUESTS):
    assert not [child for child in told if "died" in child]
    assert [seen for child in told for seen in child["seen"]] == []
    assert max(child["grown"] for child in told) < GROWTH_BYTES
    assert requests < most
    assert set(outcomes) == set(CALLS)


def children_of(case, waiting):
    """How many share the calls of a case."""
    return len(CALLS) // 2 if case in DRIPS else len(CALLS) // 4 if case in waiting else CHILDREN


@pytest.mark.emulator
@pytest.mark.timeout(300)
@pytest.mark.parametrize("engines", HALVES)
@pytest.mark.parametrize("case", sorted(CASES, key=lambda case: case not in LONG))
def test_a_hostile_server_gives_what_was_registered_or_an_error(case, engines, read, expected):
    silence = SILENCE if case == "a drip of headers" else {}
    children = children_of(case, WAITING)
    seconds = DRIP_SECONDS if case in DRIPS else CALL_SECONDS
    outcomes, told, requests = read(CASES[case], engines, children, **silence)
    assert_within_bounds(outcomes, told, requests, REQUESTS * (len(CALLS) if case == EMPTY_PAGES else 1))
    found = {
        name: problem_of(name, outcome | {"requests": {}}, expected[name], seconds)
        for name, outcome in outcomes.items()
    }
    problems = {name: problem for name, problem in found.items() if problem}
    if problems and case in SAYS_NOTHING:
        nothing, _, _ = read(lists_nothing, engines)
        for first in range(CHILDREN):
            for name in list(CALLS)[first::CHILDREN] if engines[first % 2] == SAYS_NOTHING[case] else ():
                if name in problems and outcomes[name].get("value") == nothing[name].get("value"):
                    del problems[name]
    assert not problems, "\n\n".join(f"{name}: {problem}" for name, problem in problems.items())


def lists_nothing(_, answer):
    if answer.op == "ListObjectsV2":
        answer.body = listing_of([])


def test_there_are_as_many_cases_as_promised():
    assert len(CASES) >= 20
    assert {EMPTY_PAGES, *LONG, *SAYS_NOTHING} <= CASES.keys()
