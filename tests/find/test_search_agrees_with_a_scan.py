"""A search finds just what reading every version and asking each would find."""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from conditions_at_random import CONDITIONS, METADATA, NAMES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metamlflow import MetaMLFlowClient
from metamlflow.errors import MetaMLFlowError
from metamlflow.model.condition_fields import IN_SEARCH, facts_of
from metamlflow.model.condition_terms import Several
from metamlflow.model.conditions import Condition

pytest.importorskip("pyarrow")

STEPS = st.one_of(
    st.tuples(st.just("register"), st.sampled_from(NAMES), METADATA, st.sampled_from(["model", "file"]), st.booleans()),
    st.tuples(st.just("alias"), st.sampled_from(NAMES), st.sampled_from(["production", "p"]), st.integers(1, 3)),
    st.tuples(st.just("annotate"), st.sampled_from(NAMES), st.sampled_from([None, 1, 2])),
    st.tuples(st.just("prune"), st.sampled_from(NAMES), st.integers(1, 3)),
    st.tuples(st.just("restore"), st.sampled_from(NAMES), st.integers(1, 3)),
    st.tuples(st.just("new client")),
    st.tuples(st.just("lose the catalog")),
)


class World:
    """A store, a client of it, and a scan of all versions that needs no catalog."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open()

    def open(self) -> None:
        self.client = MetaMLFlowClient(self.folder / "store", cache_dir=self.folder / "cache", stale_metadata="ignore")

    def take(self, step) -> None:
        with suppress(MetaMLFlowError):  # there is no such version, or it is held: the step changes nothing
            self._take(step)

    def _take(self, step) -> None:
        client = self.client
        match step:
            case ("register", name, metadata, kind, has_inputs):
                inputs = ["data@1"] if has_inputs and name != "data" else []
                content = {"part.csv": b"age,income\n1,2\n"} if kind == "file" else b"xy"
                client.register_artifact(name, content, kind, metadata, inputs=inputs)
            case ("alias", name, alias, version):
                client.set_alias(name, alias, version)
            case ("annotate", name, version):
                target = name if version is None else f"{name}@{version}"
                client.annotate(target, title="T" if version else None, tags={"team": "fraud", f"v{version}": ""})
            case ("prune", name, version):
                client.prune(name, versions=version, even_if_used=True)
            case ("restore", name, version):
                client.restore(f"{name}@{version}")
            case ("new client",):
                self.open()
            case ("lose the catalog",):
                shutil.rmtree(self.folder / "cache", ignore_errors=True)
                self.open()

    def scan(self, text: str) -> list[tuple[str, int]]:
        condition = Condition.parse(text, words=IN_SEARCH)
        return [
            (artifact.name, artifact.version)
            for name in self.client.list_names()
            for artifact in self.client.list_artifacts(name)
            if condition.answer({**facts_of(artifact._manifest), **self._besides(artifact)})
        ]

    def _besides(self, artifact) -> dict:
        own, of_name = artifact.notes, self.client.notes(artifact.name)
        tags = {**of_name.tags, **own.tags}
        return {
            "alias": Several(artifact.aliases),
            "tag": Several(tags),
            "tags": tags,
            "title": own.title or of_name.title,
            "description": own.description or of_name.description,
        }


def found_by(world: World, text: str) -> list[tuple[str, int]]:
    return [(artifact.name, artifact.version) for artifact in world.client.search(text)]


def check(steps, conditions) -> None:
    folder = Path(tempfile.mkdtemp(prefix="metamlflow-test-"))
    try:
        world = World(folder)
        world.client.register_artifact("data", b"a,b\n1,2\n", "file", {"a": 1})
        for step in steps:
            world.take(step)
            text = conditions[0]
            assert found_by(world, text) == sorted(world.scan(text)), (step, text)
        for text in conditions:
            assert found_by(world, text) == sorted(world.scan(text)), text
    finally:
        shutil.rmtree(folder)


@pytest.mark.full
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, max_size=10), st.lists(CONDITIONS, min_size=4, max_size=12))
def test_a_search_finds_what_a_scan_of_all_versions_finds(steps, conditions):
    check(steps, conditions)


@pytest.mark.full
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, max_size=25), st.lists(CONDITIONS, min_size=4, max_size=20))
def test_a_search_finds_what_a_scan_of_all_versions_finds_in_many_stores(steps, conditions):
    check(steps, conditions)


def test_a_search_while_publishers_are_at_work_misses_nothing_that_was_there_and_shows_nothing_wrong(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store", cache_dir=tmp_path / "cache")
    done, published, lock = threading.Event(), set(), threading.Lock()

    def publish(number: int) -> None:
        mine = MetaMLFlowClient(tmp_path / "store", stale_metadata="ignore")
        for count in range(12):
            made = mine.register_artifact(f"job{number % 2}", b"%d %d" % (number, count), "model", {"n": count})
            with lock:
                published.add((made.name, made.version, count))

    client.register_artifact("job0", b"first", "model", {"n": 0})
    publishers = [threading.Thread(target=publish, args=(number,)) for number in range(3)]
    for publisher in publishers:
        publisher.start()
    while not done.is_set():
        if not any(publisher.is_alive() for publisher in publishers):
            done.set()  # and one search more
        with lock:
            before = {(name, version) for name, version, count in published if count % 2}
        found = client.search("metadata.n in [1, 3, 5, 7, 9, 11]")
        assert before <= {(artifact.name, artifact.version) for artifact in found}
        assert all(artifact.metadata["n"] % 2 for artifact in found)
    assert {(artifact.name, artifact.version) for artifact in found} == before
    assert len(before) == 18
