"""Shards: runs of items, cut where the content of the paths says, so that a change touches few of them."""

import hashlib
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_strategies import items

from metamlflow.format.entries import MAX_SHARD_ITEMS, cut_shards, decode_shard, encode_shard
from metamlflow.model.manifests import Entry, Item, Shard

SHA = "5e" * 32


def entry(path: str, size: int = 1) -> Entry:
    return Entry(path, size, SHA, "00000000", f"blobs/sha256/5e/{SHA}")


def listed(run: list[Item]) -> Shard:
    """What a manifest says of a run."""
    data = encode_shard(run)
    digest = hashlib.sha256(data).hexdigest()
    return Shard(run[0].path, len(run), len(data), digest, f"blobs/sha256/{digest[:2]}/{digest}")


def ends_a_run(path: str) -> bool:
    return hashlib.sha256(path.encode()).digest()[:2] < b"\x00\x10"  # the first twelve bits are zero


# Of these, the items 1730, 2848, 3107, 4373, 4406, 5521 and 10089 end a run.
ITEMS = [entry(f"b/{i:05}") for i in range(12_000)]
SHARDS = {encode_shard(run) for run in cut_shards(ITEMS)}


def test_the_runs_together_are_the_items_in_their_order():
    assert list(chain.from_iterable(cut_shards(ITEMS))) == ITEMS


def test_a_run_ends_exactly_after_the_paths_whose_digest_begins_with_three_zeros():
    *runs, last = cut_shards(ITEMS)
    assert [run[-1].path for run in runs[:2]] == ["b/01730", "b/02848"]
    assert last[-1] == ITEMS[-1]
    for run in runs:
        assert ends_a_run(run[-1].path)
        assert not any(ends_a_run(item.path) for item in run[:-1])


def test_a_run_of_unlucky_paths_ends_at_the_limit():
    unlucky = [entry(path) for i in range(70_000) if not ends_a_run(path := f"{i:06}")]
    runs = list(cut_shards(unlucky))
    assert [len(run) for run in runs[:2]] == [MAX_SHARD_ITEMS, MAX_SHARD_ITEMS]
    assert list(chain.from_iterable(runs)) == unlucky


def test_cutting_is_lazy():
    def endless():
        for i in range(10**9):
            assert i <= MAX_SHARD_ITEMS
            yield entry(f"{i:09}")

    assert next(cut_shards(endless()))


def test_no_items_make_no_shards():
    assert list(cut_shards([])) == []


@pytest.mark.parametrize("place", [0, 17, 1730, 4373, 4374, 11_999])
@pytest.mark.parametrize("change", ["replaced", "removed", "added"])
def test_a_change_of_one_item_changes_only_the_shards_beside_it(place, change):
    changed = list(ITEMS)
    if change == "replaced":
        changed[place] = entry(changed[place].path, size=2)
    elif change == "removed":
        del changed[place]
    else:
        changed.insert(place + 1, entry(f"{changed[place].path}~new"))
    shards = {encode_shard(run) for run in cut_shards(changed)}
    assert len(SHARDS) == 8
    assert 1 <= len(shards - SHARDS) <= 2
    assert 1 <= len(SHARDS - shards) <= 2


@settings(max_examples=50, deadline=None)
@given(items().filter(bool))
def test_a_shard_is_read_back_as_it_was_written(content):
    assert decode_shard(encode_shard(content), listed(list(content))) == content


@settings(max_examples=30, deadline=None)
@given(items().filter(bool), st.data())
def test_a_shard_that_lost_a_line_is_refused(content, data):
    from metamlflow.errors import StoreFormatError

    run = list(content)
    lines = encode_shard(run).splitlines(keepends=True)
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    with pytest.raises(StoreFormatError, match="expected"):
        decode_shard(b"".join(lines), listed(run))


def test_a_line_holds_any_path_without_breaking():
    run = [entry('quote " and \\ and \u2028')]
    data = encode_shard(run)
    assert data.count(b"\n") == 1
    assert decode_shard(data, listed(run)) == tuple(run)
