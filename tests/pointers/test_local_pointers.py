"""Pointers to files of this machine: what can be pointed to, what is recorded of it, and what is refused by name."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import google_crc32c
import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.artifacts import Pointer, PointerEntry
from metamlflow.errors import (
    EvidenceUnavailableError,
    IntegrityError,
    InvalidInputError,
    InvalidPathError,
    SourceNotFoundError,
    UnsupportedSourceError,
)

NANOSECONDS = 1_700_000_000_123_456_789
CONTENT = {"a.csv": b"a\n1\n", "b.csv": b"b\n2\n", "deep/c.csv": b"c\n3\n", "deep/d.txt": b"d", "größe 🎉.csv": b"x"}


@pytest.fixture
def data(folder):
    """A folder with some files, all written at one known time."""
    for path, content in CONTENT.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
        os.utime(folder / path, ns=(NANOSECONDS, NANOSECONDS))
    return folder


def paths(artifact):
    return [entry.path for entry in artifact.entries]


def read_all(artifact):
    return {entry.path: artifact.read_bytes(entry.path) for entry in artifact.entries}


# --- what can be pointed to ------------------------------------------------------------------------------------------


def test_a_file_is_registered_and_none_of_it_is_stored(client, raw, data):
    artifact = client.register_pointer("lake/a", data / "a.csv", metadata={"rows": 1})
    uri = f"file://{data}/a.csv"
    stored = raw.manifest("lake/a")
    assert stored["requires"] == ["pointers"]
    assert stored["pointers"] == [{"evidence": None, "kind": "object", "path": "", "uri": uri}]
    assert stored["entries"] == [
        {"evidence": "stat", "modified_ns": str(NANOSECONDS), "path": "a.csv", "size": 4, "uri": uri},
    ]
    assert (stored["kind"], stored["type"], stored["size"], stored["files"]) == ("file", "dataset", 4, 1)
    assert raw.blobs() == set()
    assert artifact.storage_path == uri
    assert artifact.read_bytes() == b"a\n1\n"
    assert client.get_artifact("lake/a").metadata == {"rows": 1}


PLACES = {
    "a folder": ("{data}", "prefix", "file://{data}/", sorted(CONTENT)),
    "a folder with a slash": ("{data}/", "prefix", "file://{data}/", sorted(CONTENT)),
    "a URI": ("file://{data}/deep/", "prefix", "file://{data}/deep/", ["c.csv", "d.txt"]),
    "a URI in capitals": ("FILE://{data}/a.csv", "object", "file://{data}/a.csv", ["a.csv"]),
    "a way round": ("{data}/deep/../a.csv", "object", "file://{data}/a.csv", ["a.csv"]),
    "relative": ("folder/deep", "prefix", "file://{data}/deep/", ["c.csv", "d.txt"]),
    "relative, one file": ("./folder/a.csv", "object", "file://{data}/a.csv", ["a.csv"]),
    "at home": ("~/folder/a.csv", "object", "file://{data}/a.csv", ["a.csv"]),
    "a glob": ("{data}/*.csv", "glob", "file://{data}/*.csv", ["a.csv", "b.csv", "größe 🎉.csv"]),
    "a glob at any depth": ("{data}/**/[cd].*", "glob", "file://{data}/**/[cd].*", ["deep/c.csv", "deep/d.txt"]),
    "a glob of one letter": ("folder/?.csv", "glob", "file://{data}/?.csv", ["a.csv", "b.csv"]),
}


@pytest.mark.parametrize(("place", "kind", "uri", "expected"), PLACES.values(), ids=PLACES)
def test_a_place_is_taken_as_it_is_spelled_and_kept_in_full(
    client, data, tmp_path, monkeypatch, place, kind, uri, expected
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    artifact = client.register_pointer("a", place.format(data=data))
    (pointed,) = artifact.pointed
    assert (pointed.path, pointed.kind, pointed.uri) == ("", kind, uri.format(data=data))
    assert artifact.storage_path == uri.format(data=data)
    monkeypatch.chdir("/")
    assert paths(artifact) == expected
    assert all(entry.uri.startswith(f"file://{data}/") for entry in artifact.entries)
    assert all(artifact.read_bytes(path) == CONTENT[f"{'deep/' * (path not in CONTENT)}{path}"] for path in expected)


@pytest.mark.parametrize(
    "name", ["a?b#c%20d", "a?key=1", "a::b", "::", "a@b:c", "*", "[x]", "~", " ", "x" * 255, "🎉\u0308"]
)
def test_a_file_of_an_odd_name_is_pointed_to_by_itself_and_in_its_folder(client, folder, name):
    (folder / name).write_bytes(b"odd")
    (folder / "other").write_bytes(b"other")
    client.register_pointer("one", folder / name)
    client.register_pointer("all", folder)
    fresh = MetaMLFlowClient(client.storage_uri)
    assert read_all(fresh.get_artifact("one")) == {name: b"odd"}
    assert read_all(fresh.get_artifact("all")) == {name: b"odd", "other": b"other"}


def test_an_empty_file_is_data_as_any_other(client, folder, tmp_path):
    (folder / "empty").touch()
    artifact = client.register_pointer("a", folder, evidence="full")
    assert artifact.read_bytes("empty") == b""
    with artifact.open("empty") as reader:
        assert reader.read() == b""
    assert (artifact.download(tmp_path / "out") / "empty").read_bytes() == b""
    assert artifact.verify().counts["ok"] == 1


def test_a_mapping_mixes_what_is_stored_and_what_is_pointed_to(client, raw, data):
    members = {"here": b"stored", "there": Pointer(str(data)), "one": Pointer(f"file://{data}/a.csv", "full")}
    artifact = client.register_artifact("a", members)
    expected = {"here": b"stored", "one": CONTENT["a.csv"]} | {f"there/{path}": c for path, c in CONTENT.items()}
    assert read_all(artifact) == expected
    assert artifact.storage_path == f"file://{raw.manifest_path('a', 1)}"
    assert [(p.path, p.kind, p.evidence) for p in artifact.pointed] == [
        ("one", "object", "full"),
        ("there", "prefix", None),
    ]
    assert [isinstance(entry, PointerEntry) for entry in artifact.entries] == [False] + [True] * 6
    assert raw.blobs() == {str(raw.blob_path(b"stored").relative_to(raw.root))}
    assert artifact.verify()


def test_a_mapping_in_a_mapping_points_too(client, data):
    members = {"outer": {"inner": Pointer(data / "deep"), "one": Pointer(data / "a.csv")}, "stored": b""}
    artifact = client.register_artifact("a", members)
    assert [place.path for place in artifact.pointed] == ["outer/inner", "outer/one"]
    assert paths(artifact) == ["outer/inner/c.csv", "outer/inner/d.txt", "outer/one", "stored"]
    (data / "deep/new").write_bytes(b"new")
    assert artifact.refresh().changes.added == ["outer/inner/new"]


def test_one_place_may_stand_under_two_members(client, data):
    artifact = client.register_artifact("a", {"x": Pointer(str(data)), "y": Pointer(f"{data}/", "full")})
    assert read_all(artifact) == {f"{member}/{path}": c for member in "xy" for path, c in CONTENT.items()}
    assert artifact.verify("stat").counts["ok"] == 2 * len(CONTENT)
    assert not artifact.refresh()


OVERLAPS = {
    "a folder in a folder": ("zz", ["05m/0", "05m/1", "zz/0", "zz/1"]),
    "a file that stands twice": ("11", ["05m", "zz/0", "zz/1"]),
    "the folder itself": ("", [f"05m/{number:02}" for number in range(12)] + ["05m/zz/0", "05m/zz/1", "zz/0", "zz/1"]),
}


@pytest.mark.parametrize(("inner", "more"), OVERLAPS.values(), ids=OVERLAPS)
@pytest.mark.parametrize("level", ["stat", "full"])
def test_places_may_lie_one_in_another(client, folder, inner, more, level):
    (folder / "zz").mkdir()
    names = [*(f"{number:02}" for number in range(12)), "zz/0", "zz/1"]
    for name in names:
        (folder / name).write_bytes(name.encode())
    artifact = client.register_artifact("a", {"a": Pointer(folder), "a/05m": Pointer(folder / inner)})
    assert paths(artifact) == sorted({f"a/{name}" for name in names + more})
    assert artifact.verify(level).findings == ()
    assert not artifact.refresh()
    (folder / "11").unlink()
    missing = sorted(entry.path for entry in artifact.entries if entry.uri.endswith("/11"))
    assert [finding.path for finding in artifact.verify(level).findings] == missing


# --- links, and things that are no data ------------------------------------------------------------------------------


def test_links_are_followed_and_keep_the_name_of_the_link(client, data, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/f").write_bytes(b"far")
    (data / "link").symlink_to(tmp_path / "elsewhere")
    (data / "deep/up").symlink_to(data / "a.csv")
    artifact = client.register_pointer("a", data)
    assert read_all(artifact) == CONTENT | {"link/f": b"far", "deep/up": CONTENT["a.csv"]}


def test_all_that_is_no_data_is_refused_by_name_at_once(client, raw, data):
    (data / "loop").symlink_to(data)
    (data / "deep/dangling").symlink_to(data / "nothing")
    (data / "ring").symlink_to("ring")
    os.mkfifo(data / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / "socket"))
        with pytest.raises(UnsupportedSourceError) as caught:
            client.register_pointer("a", data)
    assert {problem.partition(":")[0] for problem in caught.value.problems} == {
        f"{data}/{name}" for name in ("deep/dangling", "loop/", "pipe", "ring", "socket")
    }
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    assert raw.manifests() == []


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path), lambda path: path.symlink_to("no")])
def test_one_thing_that_is_no_file_is_refused(client, raw, folder, make):
    make(folder / "thing")
    with pytest.raises((SourceNotFoundError, UnsupportedSourceError), match="thing"):
        client.register_pointer("a", folder / "thing")
    assert raw.manifests() == []


def test_a_folder_that_cannot_be_read_is_named(open_folder, as_nobody):
    (open_folder / "data/secret").mkdir(parents=True)
    (open_folder / "data/a").write_bytes(b"a")
    (open_folder / "data/secret").chmod(0)
    client = MetaMLFlowClient(open_folder / "store")
    with pytest.raises(UnsupportedSourceError, match=r"data/secret/: the folder cannot be read \(Permission denied\)"):
        as_nobody(client.register_pointer, "a", open_folder / "data")
    assert not (open_folder / "store/artifacts").exists()


def test_names_that_are_no_text_are_refused_and_shown_escaped(client, raw, data):
    for name in (b"bad\xff", b"line\n"):
        Path(os.fsdecode(os.fsencode(data) + b"/deep/" + name)).write_bytes(b"")
    with pytest.raises(InvalidPathError) as caught:
        client.register_pointer("a", data)
    assert caught.value.problems == (
        r"'deep/bad\\udcff': it is no valid UTF-8",
        r"'deep/line\n': it holds a control character",
    )
    with pytest.raises(InvalidInputError, match="no valid UTF-8"):
        client.register_pointer("a", os.fsdecode(os.fsencode(data) + b"/deep/bad\xff"))
    assert raw.manifests() == []


def test_a_name_that_no_reader_would_accept_is_refused_before_anything_is_written(client, raw, data):
    (data / "x?X-Amz-Signature=SECRET").write_bytes(b"")
    with pytest.raises(InvalidPathError, match="it carries a signed query string") as caught:
        client.register_pointer("a", data)
    assert len(caught.value.problems) == 1
    assert raw.manifests() == []


def test_what_comes_into_the_folder_later_is_no_finding(client, folder):
    for number in range(12):
        (folder / f"é{number:02}").write_bytes(b"x")
    artifact = client.register_pointer("a", folder)
    for name in (b"\x80bad", b"\xff", "é00x".encode(), b"0"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"new")
    os.mkfifo(folder / "z-pipe")
    (folder / "loop").symlink_to(folder)
    assert artifact.verify("stat").findings == ()
    assert artifact.verify("full").findings == ()


@pytest.mark.parametrize("place", ["nope", "nope/", "*.nope", "nope/*"])
def test_where_there_is_nothing_nothing_is_registered(client, raw, data, place):
    with pytest.raises(SourceNotFoundError, match="there is nothing at") as caught:
        client.register_pointer("a", f"{data}/{place}")
    assert caught.value.source == f"file://{data}/{place}"
    assert raw.manifests() == []


@pytest.mark.parametrize(
    "change", [{"evidence": "sha256"}, {"evidence": ""}, {"expected": "sha256:abc"}, {"expected": "0" * 64}]
)
def test_arguments_that_mean_nothing_are_refused(client, raw, data, change):
    with pytest.raises(InvalidInputError, match=r"evidence is stat|is not a digest"):
        client.register_pointer("a", data / "a.csv", **change)
    assert raw.manifests() == []


# --- evidence ---------------------------------------------------------------------------------------------------------


def test_full_evidence_is_what_anyone_computes_from_the_bytes(client, raw, data):
    client.register_pointer("a", data / "a.csv", evidence="full")
    (entry,) = raw.manifest("a")["entries"]
    crc32c = f"{google_crc32c.value(b'a' + bytes([10]) + b'1' + bytes([10])):08x}"
    assert entry["computed"] == {"crc32c": crc32c, "sha256": hashlib.sha256(b"a\n1\n").hexdigest()}
    assert (entry["evidence"], entry["modified_ns"]) == ("full", str(NANOSECONDS))
    assert raw.manifest("a")["pointers"][0]["evidence"] == "full"


def test_stat_evidence_has_no_digest(client, data):
    (entry,) = client.register_pointer("a", data / "a.csv", evidence="stat").entries
    assert (entry.strength, entry.sha256, entry.crc32c, entry.key, entry.executable) == (
        "stat",
        None,
        None,
        None,
        False,
    )


@pytest.mark.parametrize("place", ["a.csv", "", "*.csv"])
def test_checksum_evidence_is_not_to_be_had_of_files_and_the_choices_are_told(client, raw, data, place):
    with pytest.raises(EvidenceUnavailableError) as caught:
        client.register_pointer("a", f"{data}/{place}", evidence="checksum")
    assert (caught.value.asked, caught.value.choices) == ("checksum", ("full", "stat"))
    assert caught.value.problems[0].startswith(f"file://{data}/{'a.csv' * (place == 'a.csv')}")
    assert caught.value.problems[0].endswith(": no digest is held")
    assert raw.manifests() == []


def test_pointed_to_in_full_or_stored_the_content_has_one_digest(client, data):
    stored = client.register_artifact("stored", data)
    assert client.register_pointer("full", data, evidence="full").digest == stored.digest
    assert client.register_pointer("stat", data).digest != stored.digest


@pytest.mark.parametrize("name", ["sha256", "md5", "sha1"])
def test_an_expected_digest_is_compared_before_anything_is_registered(client, raw, data, name):
    good = f"{name}:{hashlib.new(name, CONTENT['a.csv']).hexdigest()}"
    bad = f"{name}:{hashlib.new(name, b'other').hexdigest()}"
    with pytest.raises(IntegrityError) as caught:
        client.register_pointer("a", data / "a.csv", expected=bad)
    assert (caught.value.expected, caught.value.actual) == (bad, good)
    assert raw.manifests() == []
    (entry,) = client.register_pointer("a", data / "a.csv", expected=good).entries
    assert entry.evidence.computed[name] == good.partition(":")[2]
    with pytest.raises(InvalidInputError, match="is a prefix"):
        client.register_pointer("a", data, expected=good)


@pytest.mark.parametrize("place", [3, None, b"/x", "", "/", "file://", "file:///a\0b"])
def test_what_names_nothing_is_no_place(client, raw, place):
    with pytest.raises(InvalidInputError):
        client.register_pointer("a", place)
    assert raw.manifests() == []


def test_unchanged_data_is_reused_and_changed_data_is_not(client, data):
    first = client.register_pointer("a", data)
    assert client.register_pointer("a", data, if_unchanged="reuse") == first
    os.utime(data / "a.csv", ns=(NANOSECONDS, NANOSECONDS + 1))
    assert client.register_pointer("a", data, if_unchanged="reuse").version == 2


# --- many files -------------------------------------------------------------------------------------------------------


def test_more_than_512_files_stand_in_shards_and_are_read_as_they_are_asked_for(client, raw, quick_folder):
    for number in range(520):
        (quick_folder / f"{number:05}").write_bytes(b"same")
    client.register_pointer("many", quick_folder, evidence="full")
    stored = raw.manifest("many")
    assert "entries" not in stored
    assert stored["requires"] == ["pointers"]
    assert sum(shard["count"] for shard in stored["shards"]) == 520
    assert raw.blobs() == {shard["key"] for shard in stored["shards"]}
    artifact = MetaMLFlowClient(client.storage_uri).get_artifact("many")
    assert len(artifact.entries) == 520
    assert artifact.read_bytes("00519") == b"same"
    assert artifact.digest == client.register_artifact("stored", quick_folder).digest
    (quick_folder / "00007").unlink()
    (quick_folder / "new").write_bytes(b"no part of it")
    (finding,) = artifact.verify("stat").findings
    assert (finding.path, finding.status, finding.key) == ("00007", "missing", f"file://{quick_folder}/00007")
