"""A record that a writer takes back, as it could have replaced another's, is no reason for others to fail."""

from __future__ import annotations

import shutil

import pytest
from worlds import IMPATIENT, NAME, RAW_NAME, LocalWorld, MemoryWorld, manifest_key

from metamlflow.errors import ArtifactPrunedError, IntegrityError, ObjectNotFoundError
from metamlflow.format.layout import alias_key, note_key
from metamlflow.format.manifests import digest_of
from metamlflow.format.records import encode_state
from metamlflow.model.names import ArtifactName
from metamlflow.testing import FaultyBackend, client_on


class TakingBack(FaultyBackend):
    """Others' newest records below ``prefix`` go between a listing and the read of them, once ``after`` were read."""

    def __init__(self, world, prefix: str, times: int, *, after: int = 0) -> None:
        super().__init__(world.backend())
        self._world, self._prefix, self._left, self._after = world, prefix, times, after

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if key.startswith(self._prefix) and self._left:
            if not self._after:
                self._left -= 1
                self._world.remove(key)
            self._after = max(self._after - 1, 0)
        return super().read(key, start, end)


@pytest.fixture
def world() -> MemoryWorld:
    world = MemoryWorld()
    for number in range(4):
        world.client().register_artifact(NAME, b"%d" % number)
        world.client().set_alias(NAME, "prod", number + 1)
    return world


def test_a_writer_takes_the_version_before_for_the_newest(world):
    client = client_on(TakingBack(world, f"artifacts/{RAW_NAME}/_versions/", 2), IMPATIENT)
    assert client.register_artifact(NAME, b"mine").version == 3
    assert world.client().get_artifact(NAME).read_bytes() == b"mine"


def test_an_alias_is_set_after_the_record_before(world):
    client = client_on(TakingBack(world, f"artifacts/{RAW_NAME}/_aliases/", 2), IMPATIENT)
    client.set_alias(NAME, "prod", 1)
    assert world.client().get_artifact(NAME, "prod").version == 1


def test_the_newest_version_is_the_one_before(world):
    client = client_on(TakingBack(world, f"artifacts/{RAW_NAME}/_versions/", 2), IMPATIENT)
    assert client.get_artifact(NAME).version == 2


def test_an_alias_stands_for_what_it_stood_for_before(world):
    client = client_on(TakingBack(world, f"artifacts/{RAW_NAME}/_aliases/", 2), IMPATIENT)
    assert client.get_artifact(NAME, "prod").version == 2


@pytest.mark.parametrize("target", [NAME, f"{NAME}@2"])
def test_notes_are_those_of_the_record_before_and_are_changed_after_it(world, target):
    for number in range(4):
        world.client().annotate(target, title=str(number), tags={str(number): ""})
    reader = client_on(TakingBack(world, f"artifacts/{RAW_NAME}/_notes/", 1), IMPATIENT)
    assert reader.notes(target).title == "2"
    writer = client_on(TakingBack(world, f"artifacts/{RAW_NAME}/_notes/", 1), IMPATIENT)
    after = writer.annotate(target, description="mine")
    assert (after.number, after.title, after.description, set(after.tags)) == (3, "1", "mine", {"0", "1"})
    history = client_on(TakingBack(world, f"artifacts/{RAW_NAME}/_notes/", 1), IMPATIENT).notes_history(target)
    assert [notes.number for notes in history] == [2, 3]


def test_a_list_of_versions_is_of_those_that_stayed(world):
    client = client_on(TakingBack(world, manifest_key(4), 1), IMPATIENT)
    assert [artifact.version for artifact in client.list_artifacts(NAME)] == [1, 2, 3]


@pytest.mark.parametrize("reference", [4, "prod", "latest"])
def test_a_version_whose_pruning_was_taken_back_is_there(world, reference):
    state = manifest_key(4).removesuffix(".json") + ".state-9999999998.json"
    world.write(state, encode_state("pruned", digest_of(world.objects()[manifest_key(4)]), "c" * 32, IMPATIENT.now()))
    with pytest.raises(ArtifactPrunedError):
        world.client().get_artifact(NAME, 4)
    client = client_on(TakingBack(world, state, 1), IMPATIENT)
    assert client.get_artifact(NAME, reference).version == 4


def test_a_relocation_that_was_taken_back_moves_nothing(tmp_path):
    world, place = LocalWorld(tmp_path / "store"), tmp_path / "place"
    place.mkdir()
    (place / "data.bin").write_bytes(b"pointed to")
    pointer = world.client().register_pointer("pointer", place / "data.bin", evidence="full")
    shutil.copytree(place, tmp_path / "moved")
    world.client().relocate(place.as_uri(), (tmp_path / "moved").as_uri())
    shutil.rmtree(tmp_path / "moved")
    client = client_on(TakingBack(world, "relocations/", 1), IMPATIENT)
    assert client.get_artifact(pointer.name).read_bytes() == b"pointed to"


def test_a_listing_that_never_agrees_with_the_reads_is_told(world):
    class Listed(FaultyBackend):
        def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            if "_versions/" in key:
                raise ObjectNotFoundError(f"there is no object {key}", key=key)
            return super().read(key, start, end)

    backend = Listed(world.backend())
    with pytest.raises(ObjectNotFoundError):
        client_on(backend, IMPATIENT).register_artifact(NAME, b"mine")
    assert len(backend.calls) < 20


@pytest.mark.parametrize("damaged", [False, True])
def test_a_verification_of_all_goes_on_without_what_was_taken_back(world, damaged):
    if damaged:
        world.write(manifest_key(1), b"{}")
    client = client_on(TakingBack(world, manifest_key(4), 1), IMPATIENT)
    report = client.verify_all()
    assert bool(report) is not damaged
    assert [version.version for version in report.reports] == ([2, 3] if damaged else [1, 2, 3])


@pytest.mark.parametrize(("key", "missing"), [(manifest_key(4), 0), (manifest_key(2), 1)])
@pytest.mark.parametrize("reads", [0, 1])
def test_a_history_misses_what_was_deleted_and_not_what_was_taken_back(world, key, missing, reads):
    client = client_on(TakingBack(world, key, 1, after=reads), IMPATIENT)
    history = client.history(NAME)
    assert len(history.versions) == 3 + reads
    assert len(history.problems) == missing
    assert len(client.history(NAME).problems) == missing


class Denying(FaultyBackend):
    """Says some times of a record that it does not exist, and goes on listing it."""

    def __init__(self, world, key: str, times: int) -> None:
        super().__init__(world.backend())
        self._key, self._left = key, times

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if key == self._key and self._left:
            self._left -= 1
            raise ObjectNotFoundError(f"there is no object {key}", key=key)
        return super().read(key, start, end)


def test_a_history_of_notes_misses_what_was_taken_back_and_nothing_that_is_listed(world):
    for title in ("one", "two", "three"):
        world.client().annotate(NAME, title=title)
    second, third = (note_key(ArtifactName(NAME), None, number) for number in (2, 3))
    once = client_on(Denying(world, second, 1), IMPATIENT)
    assert [notes.title for notes in once.notes_history(NAME)] == ["one", "two", "three"]
    with pytest.raises(IntegrityError, match=r"lists .*, and says that it does not exist"):
        client_on(Denying(world, second, 100), IMPATIENT).notes_history(NAME)
    taken = client_on(TakingBack(world, third, 1), IMPATIENT)
    assert [notes.title for notes in taken.notes_history(NAME)] == ["one", "two"]


@pytest.mark.parametrize("number", [2, 4])
def test_a_version_that_is_listed_is_verified_though_the_storage_says_once_that_it_does_not_exist(world, number):
    report = client_on(Denying(world, manifest_key(number), 1), IMPATIENT).verify_all()
    assert report
    assert [version.version for version in report.reports] == [1, 2, 3, 4]
    assert not client_on(Denying(world, manifest_key(number), 100), IMPATIENT).verify_all()


@pytest.mark.parametrize("number", [2, 4])
def test_a_history_has_a_version_that_is_listed_or_a_problem(world, number):
    once = client_on(Denying(world, manifest_key(number), 1), IMPATIENT).history(NAME)
    assert [version.version for version in once.versions] == [1, 2, 3, 4]
    always = client_on(Denying(world, manifest_key(number), 100), IMPATIENT).history(NAME)
    assert len(always.versions) == 3
    assert always.problems


def test_a_history_of_an_alias_has_each_record_that_is_listed(world):
    key = alias_key(ArtifactName(NAME), "prod", 2)
    once = client_on(Denying(world, key, 1), IMPATIENT)
    assert [change.version for change in once.alias_history(NAME, "prod")] == [1, 2, 3, 4]
    with pytest.raises(IntegrityError, match=r"lists .*, and says that it does not exist"):
        client_on(Denying(world, key, 100), IMPATIENT).alias_history(NAME, "prod")


@pytest.mark.parametrize("times", [1, 100])
def test_what_a_version_that_is_listed_was_made_from_is_not_pruned(world, times):
    world.client().remove_alias(NAME, "prod")
    world.client().register_artifact("model", b"model", inputs=[f"{NAME}@2"])
    consumer = manifest_key(1).replace(RAW_NAME, "model")
    client = client_on(Denying(world, consumer, times), IMPATIENT)
    report = client.prune(NAME, versions=[2])
    assert [decision.version for decision in report.pruned] == []
    assert world.client().list_versions(NAME) == [1, 2, 3, 4]
