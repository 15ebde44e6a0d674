"""Data that changes while it is being read: no wrong byte is handed out, and nothing half done stays."""

from __future__ import annotations

import random

import pytest
from lakesides import LARGE, Place
from proxy_faults import Delay, Rule

from metamlflow.errors import PointerDriftError

pytestmark = pytest.mark.emulator

PATH = "large.bin"
MIB = 1024 * 1024
OLD_BYTES = random.Random(1).randbytes(LARGE)
NEW_BYTES = random.Random(2).randbytes(LARGE)
evidence = pytest.mark.parametrize("evidence", ["stat", "full"])


def registered(place: Place, folder, evidence, proxy=None):
    place.put(PATH, OLD_BYTES)
    return place.client(folder, proxy).register_pointer("lake", place.uri(PATH), evidence=evidence)


def read_on(reader, sizes=MIB) -> tuple[bytes, PointerDriftError | None]:
    """Read in order to the end, or to the error."""
    got = b""
    try:
        while chunk := reader.read(sizes):
            got += chunk
    except PointerDriftError as error:
        return got, error
    return got, None


@evidence
def test_a_reader_stops_at_data_that_changed_under_it(plain_place: Place, tmp_path, evidence):
    artifact = registered(plain_place, tmp_path, evidence)
    with artifact.open() as reader:
        begun = reader.read(3 * MIB)
        plain_place.put(PATH, NEW_BYTES)
        more, error = read_on(reader)
    assert error is not None
    assert (error.path, error.key) == (PATH, plain_place.uri(PATH))
    got = begun + more
    assert len(got) < LARGE
    assert got == OLD_BYTES[: len(got)]


@evidence
def test_a_reader_goes_on_in_the_pinned_version(versioned_place: Place, tmp_path, evidence):
    artifact = registered(versioned_place, tmp_path, evidence)
    with artifact.open() as reader:
        begun = reader.read(3 * MIB)
        versioned_place.put(PATH, NEW_BYTES)
        more, error = read_on(reader)
    assert error is None
    assert begun + more == OLD_BYTES


def test_a_jump_to_changed_data_is_refused_each_time(plain_place: Place, tmp_path):
    artifact = registered(plain_place, tmp_path, "stat")
    with artifact.open() as reader:
        reader.seek(LARGE // 2)
        assert reader.read(100) == OLD_BYTES[LARGE // 2 :][:100]
        plain_place.put(PATH, NEW_BYTES)
        for start in (0, LARGE - 100, 5 * MIB):
            reader.seek(start)
            with pytest.raises(PointerDriftError):
                reader.read(100)


def before_the_second_range(place: Place, change) -> Rule:
    """Change the data when a first range was asked for and another one is."""
    asked: list[str] = []

    def second(request) -> bool:
        asked.append(request.headers.get("range", ""))
        if len(asked) == 2:
            change()
        return len(asked) == 2

    return Rule(Delay(0), op=place.words[1], when=second)


CHANGES = {
    "overwritten": lambda place: place.put(PATH, NEW_BYTES),
    "shorter": lambda place: place.put(PATH, NEW_BYTES[: LARGE // 3]),
    "deleted": lambda place: place.delete(PATH),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_download_of_data_that_changes_under_it_leaves_nothing(plain_place: Place, fault_proxy, tmp_path, change):
    proxy = fault_proxy(plain_place.server)
    artifact = registered(plain_place, tmp_path, "stat", proxy)
    proxy.add(before_the_second_range(plain_place, lambda: change(plain_place)))
    proxy.reset()
    with pytest.raises(PointerDriftError) as caught:
        artifact.download(tmp_path / "out")
    assert proxy.counts[plain_place.words[1]] >= 2
    assert caught.value.key == plain_place.uri(PATH)
    assert not (tmp_path / "out").exists()


def test_a_download_of_a_pinned_version_is_whole_although_the_data_changes_under_it(
    versioned_place: Place, fault_proxy, tmp_path
):
    proxy = fault_proxy(versioned_place.server)
    artifact = registered(versioned_place, tmp_path, "stat", proxy)
    proxy.add(before_the_second_range(versioned_place, lambda: versioned_place.put(PATH, NEW_BYTES)))
    assert artifact.download(tmp_path / "out").read_bytes() == OLD_BYTES
    assert versioned_place.get(PATH) == NEW_BYTES


def test_data_that_changes_while_it_is_registered_is_not_registered(plain_place: Place, fault_proxy, tmp_path):
    proxy = fault_proxy(plain_place.server)
    plain_place.put(PATH, OLD_BYTES)
    client = plain_place.client(tmp_path, proxy)
    client.create_store()
    proxy.add(before_the_second_range(plain_place, lambda: plain_place.put(PATH, NEW_BYTES)))
    with pytest.raises(PointerDriftError):
        client.register_pointer("lake", plain_place.uri(PATH), evidence="full")
    assert client.list_artifacts() == []
