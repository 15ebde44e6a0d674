"""Real processes that publish at the same moment on one local store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from forked import race
from worlds import NAME, LocalWorld, World, assert_readable, assert_sound, manifests

from metamlflow import MetaMLFlowClient
from metamlflow.store.catalog.clock import Clock

Told = tuple[int, str, bytes]  # the version that a caller was told, its artifact id, and what it had registered


@pytest.fixture
def world(tmp_path) -> LocalWorld:
    return LocalWorld(tmp_path / "store")


def publish(world: LocalWorld, data: bytes, times: int = 1, **options) -> list[Told]:
    client = MetaMLFlowClient(str(world.root))
    told = []
    for number in range(times):
        content = data % number if b"%d" in data else data
        artifact = client.register_artifact(NAME, content, **options)
        told.append((artifact.version, artifact.artifact_id, content))
    return told


def assert_each_was_told_its_own(world: World, told: list[Told]) -> None:
    """Versions 1, 2, 3, … once each, and each the one that its caller was told."""
    versions = assert_sound(world)
    assert sorted(version for version, _, _ in told) == list(versions)
    ids = {version: manifest["artifact_id"] for version, manifest in manifests(world.objects()).items()}
    for version, artifact_id, content in told:
        assert list(versions[version].values()) == [content]
        assert ids[version] == artifact_id


@pytest.mark.full
def test_twenty_processes_publishing_ten_times_each_get_versions_1_to_200(world):
    world.client().create_store()
    racers = [partial(publish, world, b"racer %d, round %%d" % racer, times=10) for racer in range(20)]
    told = [one for results in race(*racers) for one in results]
    assert len(told) == 200
    assert_each_was_told_its_own(world, told)
    assert_readable(world)


@pytest.mark.full
@pytest.mark.parametrize("attempt", range(3))
def test_processes_that_create_the_store_at_once_share_it(world, attempt):
    told = race(*[partial(publish, world, b"racer %d" % racer) for racer in range(8)])
    assert_each_was_told_its_own(world, [one for results in told for one in results])
    assert [key for key in world.objects() if "/" not in key] == ["metamlflow.json"]


@pytest.mark.full
@pytest.mark.parametrize("attempt", range(3))
def test_first_versions_of_many_names_at_once_are_all_version_1(world, attempt):
    def register(racer: int) -> int:
        return MetaMLFlowClient(str(world.root)).register_artifact(f"name-{racer}", b"same").version

    assert race(*[partial(register, racer) for racer in range(8)]) == [1] * 8
    assert [artifact.name for artifact in world.client().list_artifacts()] == [f"name-{n}" for n in range(8)]
    assert len([key for key in world.objects() if key.startswith("blobs/")]) == 1


@pytest.mark.full
@pytest.mark.parametrize("attempt", range(3))
def test_processes_that_reuse_one_content_make_exactly_one_version(world, attempt):
    told = race(*[partial(publish, world, b"same", times=2, if_unchanged="reuse") for _ in range(8)])
    assert {one for results in told for one in results} == {told[0][0]}
    assert list(assert_sound(world)) == [1]


@pytest.mark.full
@pytest.mark.parametrize("attempt", range(3))
def test_processes_that_share_an_idempotency_key_make_exactly_one_version(world, attempt):
    contents = [b"racer %d" % racer for racer in range(8)]
    told = race(*[partial(publish, world, content, times=2, idempotency_key="job") for content in contents])
    assert {(version, artifact_id) for results in told for version, artifact_id, _ in results} == {
        told[0][0][:2],
    }
    ((content,),) = [tuple(files.values()) for files in assert_sound(world).values()]
    assert content in contents


@pytest.mark.full
def test_one_version_for_each_idempotency_key_while_others_publish_too(world):
    """Two processes for each of five keys, and four with none: claimed numbers are lost to one another all the time."""
    keyed = [partial(publish, world, b"job %d" % (n % 5), idempotency_key=f"job-{n % 5}") for n in range(10)]
    free = [partial(publish, world, b"free %d, round %%d" % n, times=5) for n in range(4)]
    told = race(*keyed, *free)
    by_key = {n: {tuple(told[n]), tuple(told[n + 5])} for n in range(5)}
    assert all(len(answers) == 1 for answers in by_key.values()), by_key
    assert_each_was_told_its_own(world, [one for results in (*told[:5], *told[10:]) for one in results])


def test_threads_of_one_client_each_get_a_version_of_their_own(world):
    client = MetaMLFlowClient(str(world.root))

    def register(number: int) -> Told:
        artifact = client.register_artifact(NAME, b"thread %d" % number)
        return artifact.version, artifact.artifact_id, b"thread %d" % number

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(register, range(40)))
    assert_each_was_told_its_own(world, told)


def test_threads_of_one_client_with_one_key_make_exactly_one_version(world):
    client = world.client(Clock())
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: client.register_artifact(NAME, b"%d" % n, idempotency_key="job"), range(16)))
    assert {artifact.artifact_id for artifact in made} == {made[0].artifact_id}
    assert list(assert_sound(world)) == [1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_rounds_of_keyed_and_free_racers_end_with_one_version_for_each_key(world):
    for number in range(60):
        keyed = [partial(publish, world, b"%d" % n, idempotency_key=f"job-{number}") for n in range(4)]
        free = [partial(publish, world, b"free %%d, %d" % number) for _ in range(2)]
        before = len(manifests(world.objects()))
        told = race(*keyed, *free)
        assert len({answer[0][:2] for answer in told[:4]}) == 1
        assert len(manifests(world.objects())) == before + 3
    assert_sound(world)
