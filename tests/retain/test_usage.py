"""usage adds up what names and versions take, each content once, and what no version names."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import replace
from datetime import date

import pytest
from planted import Planter, key_of_version, pruned

from metamlflow import MetaMLFlowClient
from metamlflow.errors import ArtifactNotFoundError, InvalidInputError, StoreNotFoundError
from metamlflow.store.retain.space.usage import usage_of
from metamlflow.testing import FaultyBackend, MemoryBackend
from metamlflow.testing.clients import client_on

A, B, C, D = (letter * size for letter, size in ((b"a", 100), (b"b", 20), (b"c", 3), (b"d", 7000)))


@pytest.fixture
def planter(store_folder) -> Planter:
    return Planter(store_folder)


def by_version(report) -> dict[str, tuple[str, int, int, int]]:
    return {f"{v.name}@{v.version}": (v.state, v.bytes, v.frees, v.shared) for v in report.versions}


def by_name(report) -> dict[str, tuple[int, int, int]]:
    return {name.name: (name.bytes, name.own, name.shared) for name in report.names}


@pytest.fixture
def filled(client, planter) -> MetaMLFlowClient:
    client.register_artifact("team/x", {"1": A, "2": B, "again": A})
    client.register_artifact("team/x", {"1": A, "2": C})
    client.register_artifact("team/y", {"1": B})
    client.register_artifact("z", D)
    return client


def test_each_content_counts_once_and_pruning_frees_what_nobody_else_names(filled):
    report = filled.usage()
    assert by_version(report) == {
        "team/x@1": ("live", 120, 0, 120),
        "team/x@2": ("live", 103, 3, 100),
        "team/y@1": ("live", 20, 0, 20),
        "z@1": ("live", 7000, 7000, 0),
    }
    assert by_name(report) == {"z": (7000, 7000, 0), "team/x": (123, 103, 20), "team/y": (20, 0, 20)}
    assert (report.blobs, report.bytes, report.live) == (4, 7123, 7123)
    assert (report.pruned, report.garbage, report.collectable, report.missing, report.pointed) == (0, 0, 0, 0, 0)
    assert report.complete


def test_one_name_and_names_by_their_first_segments(filled):
    one = filled.usage("team/x")
    assert list(by_version(one)) == ["team/x@1", "team/x@2"]
    assert by_version(one).items() <= by_version(filled.usage()).items()
    assert one.bytes == 7123
    assert by_name(filled.usage(depth=1)) == {"z": (7000, 7000, 0), "team": (123, 123, 0)}
    with pytest.raises(ArtifactNotFoundError, match="no artifact 'team'"):
        filled.usage("team")


@pytest.mark.parametrize("depth", [0, -1, True, "1", 1.0])
def test_a_depth_that_is_none_is_refused(filled, depth):
    with pytest.raises(InvalidInputError, match="depth"):
        filled.usage(depth=depth)


def test_a_place_without_a_store_takes_no_space(client):
    with pytest.raises(StoreNotFoundError):
        client.usage()


def test_what_pruning_frees_is_what_then_only_a_pruned_version_names(filled, planter):
    expected = {f"{v.name}@{v.version}": v.frees for v in filled.usage().versions}
    assert expected["z@1"] == 7000
    for name, version in (("z", 1), ("team/x", 2)):
        before = filled.usage()
        pruned(planter, name, version)
        after = filled.usage()
        assert after.pruned - before.pruned == expected[f"{name}@{version}"]
        assert before.live - after.live == expected[f"{name}@{version}"]
        assert by_version(after)[f"{name}@{version}"][0] == "pruned"
        assert by_version(after)[f"{name}@{version}"][2] == 0


def test_garbage_is_what_no_version_names_and_what_is_young_is_not_free_yet(filled, planter):
    planter.write("blobs/sha256/ab/" + "ab" * 32, b"x" * 50, age=60)
    planter.write("blobs/sha256/cd/" + "cd" * 32, b"x" * 8)
    key = planter.blob("z", 1)
    os.utime(planter.path(key), (0, 0))
    pruned(planter, "z", 1)
    report = filled.usage()
    assert (report.garbage, report.garbage_blobs, report.garbage_old) == (58, 2, 8)
    assert (report.pruned, report.pruned_old, report.collectable) == (7000, 7000, 7008)
    state = planter.path(key_of_version("z", 1, "state-9999999998.json"))
    os.utime(state)
    assert filled.usage().pruned_old == 0


def test_what_an_unreadable_record_names_is_not_offered_as_garbage(filled, planter):
    planter.write("blobs/sha256/cd/" + "cd" * 32, b"x" * 8)
    assert filled.usage().collectable == 8
    key = planter.write(key_of_version("z", 1), b"{")
    report = filled.usage()
    assert (report.complete, report.unreadable, report.collectable) == (False, (key,), 0)
    assert "not exact" in repr(report)
    assert "cannot be read" in report.to_html()


def test_an_odd_state_of_another_manifest_takes_nothing_away(filled, planter):
    digest = f"sha256:{'1' * 64}"
    planter.document(pruned(planter, "z", 1), manifest_digest=digest)
    assert by_version(filled.usage())["z@1"] == ("live", 7000, 7000, 0)


def test_missing_content_and_content_elsewhere_are_told_apart(filled, planter, tmp_path):
    (tmp_path / "lake.bin").write_bytes(b"1234")
    filled.register_pointer("lake", tmp_path / "lake.bin")
    planter.delete(planter.blob("z", 1))
    report = filled.usage()
    assert (report.missing, report.pointed, report.bytes) == (7000, 4, 123)
    assert {name.name: name.pointed for name in report.names}["lake"] == 4


def test_lists_of_files_count_and_are_read_once(client):
    wide = {f"{n:05d}": b"%d" % (n % 5) for n in range(700)}
    client.register_artifact("wide", wide)
    client.register_artifact("wide", wide | {"zz": b"more"})
    report = client.usage()
    (first, second) = report.versions
    assert first.bytes > 5
    assert second.own > 4
    assert first.own + first.shared == first.bytes
    assert report.live == report.bytes == sum(v.own for v in report.versions) + second.shared


def test_growth_is_by_the_day_of_registration(filled, planter):
    for name, version, day in (("team/x", 1, "2024-01-01"), ("team/x", 2, "2024-01-01"), ("team/y", 1, "2024-03-05")):
        planter.document(key_of_version(name, version), created_at=f"{day}T12:00:00Z")
    planter.document(key_of_version("z", 1), created_at="2024-02-01T23:59:59Z")
    growth = [(str(day.day), day.registered, day.stored) for day in filled.usage().growth]
    assert growth == [
        ("2024-01-01", 323, 123),
        ("2024-02-01", 7323, 7123),
        ("2024-03-05", 7343, 7123),
    ]


class Counting(FaultyBackend):
    """Counts listings and reads by the first folder of their keys."""

    def __init__(self, inner):
        super().__init__(inner)
        self.asked = Counter()

    def list_objects(self, prefix="", **more):
        self.asked["list", prefix] += 1
        return super().list_objects(prefix, **more)

    def read(self, key, *arguments):
        self.asked["read", key] += 1
        return super().read(key, *arguments)


def test_it_costs_two_listings_and_one_read_of_each_manifest_and_list_of_files():
    memory = MemoryBackend()
    client = client_on(memory)
    for version in range(3):
        client.register_artifact("wide", {f"{n:05d}": b"%d" % n for n in range(600)} | {"v": b"%d" % version})
        client.set_alias("wide", "best", version + 1)
    counting = Counting(memory)
    client_on(counting).usage()
    lists = {prefix: count for (call, prefix), count in counting.asked.items() if call == "list"}
    assert {prefix: lists[prefix] for prefix in ("artifacts/", "blobs/")} == {"artifacts/": 1, "blobs/": 1}
    assert lists.keys() <= {"artifacts/", "blobs/", "features/"}
    reads = {key: count for (call, key), count in counting.asked.items() if call == "read" and key != "metamlflow.json"}
    assert set(reads.values()) == {1}
    manifests = {key for key in reads if "/_versions/" in key}
    shards = {key for key in reads if key.endswith(".jsonl")}
    assert len(manifests) == 3
    assert reads.keys() == manifests | shards


def test_a_large_index_lies_on_disk_and_gives_the_same(filled):
    store = filled._store
    for number in range(40):
        filled.register_artifact(f"n{number % 4}", {str(n): b"%d" % (n * number % 50) for n in range(20)})
    assert usage_of(store, most_bytes=2_000).to_json() == filled.usage().to_json()


def test_the_page_is_whole_escaped_and_loads_nothing(filled, planter, tmp_path):
    report = filled.usage()
    page = report.to_html(tmp_path / "du.html")
    assert (tmp_path / "du.html").read_text() == page
    assert "<script" not in page
    assert not re.findall(r"""(?:src|href)=|url\(|@import""", page)
    assert page.count("<svg") == 4  # two charts, for wide and narrow windows
    evil = replace(report.names[0], name="<script>alert(1)</script>&\"'\x1b")
    page = replace(report, names=(evil,), uri="file:///<b>").to_html()
    assert "<script" not in page
    assert "<b>" not in page.partition("<ul")[0]
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page


def test_a_page_of_nothing_says_so(client):
    client.create_store()
    assert "Nothing was registered yet" in client.usage().to_html()


@pytest.mark.parametrize("day", ["0001-01-01", "0001-01-02", "9999-12-31"])
def test_a_page_is_drawn_of_any_day(store, day):
    store.client().register_artifact("a", b"one")
    report = store.client().usage()
    growth = (replace(report.growth[0], day=date.fromisoformat(day)),)
    page = replace(report, growth=growth).to_html()
    assert page.count("<svg") == 4
    assert day in page


def test_a_page_that_a_link_leads_to_is_replaced_and_the_link_stays(store, tmp_path):
    (tmp_path / "pages").mkdir()
    link, file = tmp_path / "du.html", tmp_path / "pages" / "real.html"
    link.symlink_to("pages/real.html")
    report = store.client()
    report.register_artifact("a", b"one")
    for _ in range(2):  # there is no page yet, and then there is
        page = report.usage().to_html(link)
        assert link.is_symlink()
        assert file.read_text() == page
    assert [path.name for path in file.parent.iterdir()] == ["real.html"]


def test_a_report_is_json_and_a_table(filled):
    report = filled.usage()
    document = json.loads(json.dumps(report.to_json()))
    assert document["versions"][0]["created_at"].endswith("Z")
    assert [name["name"] for name in document["names"]] == ["z", "team/x", "team/y"]
    assert report.__rich__().row_count == 3
    assert "7.1 kB" in report._repr_html_()


def test_a_page_that_cannot_be_written_whole_leaves_the_one_before_and_nothing_else(store, tmp_path, monkeypatch):
    file = tmp_path / "du.html"
    file.write_text("before")
    store.client().register_artifact("a", b"one")
    report = store.client().usage()

    def full(self, text, *_) -> None:
        self.write_bytes(text.encode()[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(type(file), "write_text", full)
        with pytest.raises(Exception, match="no space is left"):
            report.to_html(file)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir() if path.is_file()] == [("du.html", "before")]
    report.to_html(file)
    assert file.read_text().startswith("<!")
