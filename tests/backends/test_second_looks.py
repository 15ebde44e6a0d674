"""The look right before a deletion: pages of a listing tell what a look at each object would, and cost less."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("s3fs")
from metamlflow.backend import ObjectInfo
from metamlflow.backend.deleting import looked_again
from metamlflow.errors import AccessDeniedError
from metamlflow.testing import MemoryBackend, MemoryBucket, StoredObject
from metamlflow_s3.second_looks import WORTH, SecondLooks

THEN = datetime(2026, 1, 1, tzinfo=UTC)


def key_of(number: int) -> str:
    return f"blobs/sha256/{number // 700:02x}/{number:06d}"


def bucket_of(count: int) -> MemoryBucket:
    bucket = MemoryBucket(clock=lambda: THEN + timedelta(days=9))
    bucket.objects |= {key_of(number): StoredObject(b"%d" % number, THEN) for number in range(count)}
    return bucket


class Counted:
    """Looks at a bucket in memory, and counts them."""

    def __init__(self, bucket: MemoryBucket, *, versioned: frozenset[str] = frozenset(), lists: bool = True) -> None:
        self.backend = MemoryBackend(bucket)
        self.made: Counter[str] = Counter()
        self.versioned = versioned
        self.lists = lists
        self.looks = SecondLooks(self.head, self.listed)

    def head(self, key: str) -> ObjectInfo:
        self.made["head"] += 1
        info = self.backend.stat(key)
        return ObjectInfo(key, info.size, info.modified, None, info.etag, "v" if key in self.versioned else None)

    def listed(self, prefix: str, after: str, most: int):
        self.made["list"] += 1
        if not self.lists:
            raise AccessDeniedError("no listing", key=prefix)
        return self.backend.list_objects(prefix, after=after, limit=most)


def told(found):
    same, failures = found
    return sorted(info.key for info in same), sorted((it.key, type(it.error)) for it in failures)


COUNT = 2_500
EVERY = st.integers(1, 40).map(lambda step: range(step, COUNT, step))


@pytest.mark.full
@settings(deadline=None, max_examples=15, phases=[Phase.explicit, Phase.generate])
@given(step=st.sampled_from([1, 2, 7, 40, 90]), first=st.integers(0, 50), gone=EVERY, replaced=EVERY)
def test_whatever_became_of_the_objects_it_is_what_a_look_at_each_tells(step, first, gone, replaced):
    bucket = bucket_of(COUNT)
    seen = [MemoryBackend(bucket).stat(key_of(number)) for number in range(first, COUNT, step)][:1000]
    for number in gone:
        del bucket.objects[key_of(number)]
    for number in set(replaced) - set(gone):
        bucket.objects[key_of(number)] = StoredObject(b"%d" % number, THEN + timedelta(days=8))
    assert told(Counted(bucket).looks.at(seen)) == told(looked_again(MemoryBackend(bucket).stat, seen))


@pytest.mark.full
@pytest.mark.parametrize(
    ("step", "most", "heads"), [(1, 10, (1, 1)), (40, 70, (1, 150)), (400, 8, (60, 65)), (2_000, 8, (12, 13))]
)
def test_where_garbage_is_close_together_it_costs_pages_and_elsewhere_a_look_each(step, most, heads):
    count = 26_000 if step > 1 else 3_000
    bucket = bucket_of(count)
    seen = [MemoryBackend(bucket).stat(key_of(number)) for number in range(0, count, step)][:1000]
    counted = Counted(bucket)
    same, failures = counted.looks.at(seen)
    assert (len(same), failures) == (len(seen), [])
    assert counted.made["list"] <= most
    assert heads[0] <= counted.made["head"] <= heads[1]


def test_in_a_bucket_that_keeps_versions_each_object_is_asked_for_its_own():
    bucket = bucket_of(100)
    late = [key_of(number) for number in (50, 51)]
    for key in late:
        bucket.objects[key] = StoredObject(b"x", THEN + timedelta(seconds=9))
    seen = list(MemoryBackend(bucket).list_objects())
    counted = Counted(bucket, versioned=frozenset(late))
    same, _ = counted.looks.at(seen)
    assert {info.key: info.version for info in same if info.version} == dict.fromkeys(late, "v")
    assert counted.made == {"head": 100}


def test_who_may_not_list_looks_at_each():
    bucket = bucket_of(400)
    counted = Counted(bucket, lists=False)
    same, failures = counted.looks.at(list(MemoryBackend(bucket).list_objects()))
    assert (len(same), failures, counted.made["head"]) == (400, [], 400)


def test_a_few_objects_are_looked_at_one_by_one():
    bucket = bucket_of(WORTH)
    counted = Counted(bucket)
    assert len(counted.looks.at(list(MemoryBackend(bucket).list_objects()))[0]) == WORTH
    assert counted.made == {"head": WORTH}
