"""list_objects: complete, in the order of the keys' bytes, never from a cache."""
# ruff: noqa: S101 (a suite consists of asserts)

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from metamlflow.backend import Backend
from metamlflow.testing.suite.hooks import SuiteHooks

# In order. `!`, `-` and `.` sort before `/`, so a folder's keys come after those of files that look shorter.
KEYS = (
    "0/zero.json",
    "Z.json",
    "a!b/upper.json",
    "a-b.json",
    "a-b/c/d.json",
    "a.b.json",
    "a.b/c.json",
    "a/A.json",
    "a/b!c.json",
    "a/b-c.json",
    "a/b.c.json",
    "a/b/c.json",
    "a/b/c/d/e/f.json",
    "a/b/d.json",
    "a/b0.json",
    "a/bc/d.json",
    "a0/b.json",
    "a@1/b.json",
    "aB/c.json",
    "a_b/c.json",
    "ab.json",
    "ab/c.json",
    "z/9999999998_v1.json",
    "z/9999999998_v1.state-9999999998.json",
)

PREFIXES = ("", "a", "a/", "a/b", "a/b/", "a/b/c", "a/b.c.json", "a-", "a.b", "a!", "ab", "z/9999999998_v1.", "Z", "~")
AFTER = ("", "a", "a/", "a/b", "a/b/c.json", "a/b/c/d/zzz", "a0", "a.b/", "a.b/c.json", "z", "~")


def _keys(backend: Backend, prefix: str = "", *, after: str = "", limit: int | None = None) -> list[str]:
    return [info.key for info in backend.list_objects(prefix, after=after, limit=limit)]


class Listing(SuiteHooks):
    """Tests of :meth:`Backend.list_objects`."""

    def test_a_new_root_is_empty(self, backend: Backend) -> None:
        """Opening creates nothing, and a root that does not exist yet lists as empty."""
        assert _keys(backend) == []
        assert _keys(backend, "some/folder/") == []

    def test_keys_are_listed_in_the_order_of_their_bytes(self, backend: Backend) -> None:
        """The order of writing does not matter."""
        self.fill(backend, reversed(KEYS))
        assert _keys(backend) == list(KEYS)

    def test_a_prefix_lists_just_the_keys_that_begin_with_it(self, backend: Backend) -> None:
        """A prefix may end within a name; a prefix that no key begins with lists nothing."""
        self.fill(backend, KEYS)
        expected = {prefix: [key for key in KEYS if key.startswith(prefix)] for prefix in PREFIXES}
        assert {prefix: _keys(backend, prefix) for prefix in PREFIXES} == expected
        assert _keys(backend, "nothing/here/") == []

    def test_after_lists_just_the_greater_keys(self, backend: Backend) -> None:
        """This works with every prefix, whether or not ``after`` is a key."""
        self.fill(backend, KEYS)
        cases = [(prefix, after) for prefix in ("", "a", "a/b", "z/") for after in AFTER]
        expected = {case: [key for key in KEYS if key.startswith(case[0]) and key > case[1]] for case in cases}
        assert {case: _keys(backend, case[0], after=case[1]) for case in cases} == expected

    def test_limit_ends_a_listing(self, backend: Backend) -> None:
        """A limit gives the first objects, or all if there are no more."""
        self.fill(backend, KEYS)
        assert [_keys(backend, limit=limit) for limit in (1, 5, 100)] == [[KEYS[0]], list(KEYS[:5]), list(KEYS)]
        assert _keys(backend, "a/b", after="a/b.c.json", limit=2) == ["a/b/c.json", "a/b/c/d/e/f.json"]

    def test_a_listing_can_be_taken_in_pages(self, backend: Backend) -> None:
        """Each page starts after the last key of the previous one; together they are the listing."""
        self.fill(backend, KEYS)
        listed: list[str] = []
        while page := _keys(backend, after=listed[-1] if listed else "", limit=5):
            listed += page
        assert listed == list(KEYS)

    def test_a_listing_is_an_iterator_that_can_be_left(self, backend: Backend) -> None:
        """A caller may stop early; two listings do not disturb one another."""
        self.fill(backend, KEYS)
        first, second = backend.list_objects("a"), backend.list_objects()
        assert isinstance(first, Iterator)
        assert [info.key for info in islice(first, 2)] == ["a!b/upper.json", "a-b.json"]
        assert next(second).key == KEYS[0]
        assert next(first).key == "a-b/c/d.json"

    def test_a_listing_shows_at_once_what_another_instance_did(self, backend: Backend) -> None:
        """A listing never comes from a cache, also for folders listed before and their parents, and after a delete."""
        other = self.reopen(backend)
        self.raw_write(other, "green/a.json", b"1")
        assert (_keys(backend, "green/"), _keys(backend), _keys(backend, "red/")) == (["green/a.json"],) * 2 + ([],)
        self.raw_write(other, "green/b.json", b"1")
        self.raw_write(other, "red/deep/c.json", b"1")
        assert _keys(backend, "green/") == ["green/a.json", "green/b.json"]
        assert _keys(backend) == ["green/a.json", "green/b.json", "red/deep/c.json"]
        assert _keys(backend, "red/") == ["red/deep/c.json"]
        other.delete(["green/a.json"])
        assert _keys(backend, "green/") == ["green/b.json"]

    def test_listed_objects_say_what_stat_says(self, backend: Backend) -> None:
        """A listing has size and time of writing, for a garbage collector that does not request objects one by one."""
        self.fill(backend, KEYS[:6])
        listed = {info.key: (info.size, info.modified) for info in backend.list_objects()}
        stats = {key: backend.stat(key) for key in KEYS[:6]}
        assert {key: size for key, (size, _) in listed.items()} == {key: len(key) for key in stats}
        for key, info in stats.items():
            # A listing may round the time to whole seconds where stat does not, or the other way round.
            assert abs((listed[key][1] - info.modified).total_seconds()) <= 1

    def test_a_long_listing_is_complete(self, backend: Backend) -> None:
        """A listing longer than a server's page is complete, also from the middle; one call deletes all its objects."""
        keys = [f"many/{number % 7}/{number:06d}.json" for number in range(self.many)]
        self.fill(backend, keys)
        assert _keys(backend, "many/") == sorted(keys)
        assert _keys(backend, after="many/3/") == sorted(key for key in keys if key > "many/3/")
        assert backend.delete(keys) == []
        assert _keys(backend) == []

    @pytest.mark.parametrize("batch", [1, 7], ids=["each-as-listed", "in-batches"])
    def test_what_is_listed_can_be_deleted_meanwhile(self, backend: Backend, batch: int) -> None:
        """A listing continues while objects that it yielded are deleted, and misses none."""
        self.fill(backend, KEYS)
        listing, seen = backend.list_objects(), list[str]()
        while found := [info.key for info in islice(listing, batch)]:
            assert backend.delete(found) == []
            seen += found
        assert seen == list(KEYS)
        assert _keys(backend) == []
