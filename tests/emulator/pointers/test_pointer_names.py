"""Names of objects that mean something to shells, URLs or globs: each is just the name that it is."""

from __future__ import annotations

import pytest
from lakesides import READERS, Place, documents, held_in

from metamlflow.artifacts import Pointer
from metamlflow.errors import InvalidPathError, SourceNotFoundError

pytestmark = pytest.mark.emulator

NAMES = {
    "umlaut": "Zür\u00fcck \u00fc.csv",
    "decomposed": "u\u0308ber.csv",
    "chinese-and-emoji": "\u6570\u636e \U0001f600.csv",
    "spaces": "a  b c.csv",
    "plus": "a+b.csv",
    "percent": "100%.csv",
    "escaped": "a%2Fb%20c.csv",
    "hash": "a#b.csv",
    "question-mark": "a?b=c&d=e.csv",
    "star": "a*b.csv",
    "brackets": "a[bc]d.csv",
    "braces": "{a,b}.csv",
    "quotes": 'it\'s "so".csv',
    "hive": "day=2026-01-01/part.csv",
    "semicolon": "a;b,c@d:e.csv",
    "tilde": "~a/$HOME/&.csv",
}


def content(name: str) -> bytes:
    return f"the content of {name}".encode()


def fill(place: Place) -> None:
    for name in NAMES.values():
        place.put(name, content(name))


def test_each_name_is_an_object_that_can_be_pointed_to(plain_place: Place, tmp_path):
    fill(plain_place)
    client = plain_place.client(tmp_path)
    for case, name in NAMES.items():
        artifact = client.register_pointer("lake", plain_place.uri(name))
        [entry] = artifact.entries
        assert (entry.uri, entry.path) == (plain_place.uri(name), name.rpartition("/")[2]), case
        assert [place.kind for place in artifact.pointed] == ["object"], case
        assert artifact.read_bytes() == content(name), case
        assert artifact.verify(), case


@pytest.mark.full
def test_all_names_are_found_below_a_prefix_and_read_in_every_way(plain_place: Place, tmp_path):
    fill(plain_place)
    client = plain_place.client(tmp_path)
    client.register_pointer("lake", plain_place.uri())
    artifact = plain_place.client(tmp_path).get_artifact("lake")
    assert {entry.path: entry.uri for entry in artifact.entries} == {n: plain_place.uri(n) for n in NAMES.values()}
    for case, name in NAMES.items():
        for reader in ("read_bytes", "ranged", "download"):
            assert READERS[reader](artifact, name, tmp_path / case) == content(name), (case, reader)
    folder = artifact.download(tmp_path / "all")
    found = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert found == {name: content(name) for name in NAMES.values()}
    assert [artifact.verify(level).counts["ok"] for level in ("stat", "full")] == [len(NAMES)] * 2


GLOBS = {
    "*.csv": lambda name: "/" not in name,
    "**/*.csv": lambda name: True,
    "a?b*": lambda name: "/" not in name and name[0] == "a" and name[2] == "b",
    "a[[]bc]d.csv": lambda name: name == NAMES["brackets"],
    "day=*/part.csv": lambda name: name == NAMES["hive"],
    "*%*": lambda name: "/" not in name and "%" in name,
    "*#*": lambda name: "#" in name,
    "\u6570*": lambda name: name == NAMES["chinese-and-emoji"],
}


def test_a_glob_matches_whole_names(plain_place: Place, tmp_path):
    fill(plain_place)
    client = plain_place.client(tmp_path)
    for glob, matches in GLOBS.items():
        artifact = client.register_pointer("lake", plain_place.uri(glob))
        assert [place.kind for place in artifact.pointed] == ["glob"], glob
        expected = {plain_place.uri(name) for name in NAMES.values() if matches(name)}
        assert {entry.uri for entry in artifact.entries} == expected != set(), glob
        assert artifact.verify(), glob


@pytest.mark.parametrize("case", ["star", "question-mark", "brackets"])
def test_an_object_whose_name_is_a_glob_is_meant_before_what_the_glob_matches(plain_place: Place, tmp_path, case):
    name = NAMES[case]
    for key in (name, "aXb.csv", "abd.csv", "a.b=c&d=e.csv"):
        plain_place.put(key, content(key))
    artifact = plain_place.client(tmp_path).register_pointer("lake", plain_place.uri(name))
    assert [entry.uri for entry in artifact.entries] == [plain_place.uri(name)]


def test_a_folder_s_marker_is_left_out_and_one_with_content_is_told(plain_place: Place, tmp_path):
    plain_place.put("", b"")
    plain_place.put("sub/", b"")
    plain_place.put("sub/a.csv", b"1")
    client = plain_place.client(tmp_path)
    artifact = client.register_pointer("lake", plain_place.uri())
    assert [entry.path for entry in artifact.entries] == ["sub/a.csv"]
    plain_place.put("sub/", b"data in the place of a folder")
    with pytest.raises(InvalidPathError) as caught:
        client.register_pointer("lake", plain_place.uri())
    assert [problem for problem in caught.value.problems if "sub/" in problem]
    assert len(documents(tmp_path)) == 1


def test_a_prefix_of_markers_alone_is_nothing(plain_place: Place, tmp_path):
    plain_place.put("", b"")
    plain_place.put("sub/", b"")
    with pytest.raises(SourceNotFoundError):
        plain_place.client(tmp_path).register_pointer("lake", plain_place.uri())


ILLEGAL = ("a//b", "../up", "a/../b", "./here", "/rooted", "a/.", "in", "in/side")


def test_all_illegal_names_are_told_at_once_and_nothing_is_written(plain_place: Place, tmp_path):
    for name in (*ILLEGAL, *(f"fine/{number}" for number in range(20))):
        plain_place.put(name, b"1")
    client = plain_place.client(tmp_path)
    client.create_store()
    before = held_in(tmp_path)
    for strength in (None, "full"):
        with pytest.raises(InvalidPathError) as caught:
            client.register_pointer("lake", plain_place.uri(), evidence=strength)
        told = sorted(problem.partition(": ")[0] for problem in caught.value.problems)
        assert told == sorted(repr(name) for name in ILLEGAL if name != "in")
        assert held_in(tmp_path) == before


def test_an_illegal_name_can_be_pointed_to_under_a_name_of_one_s_own(plain_place: Place, tmp_path):
    for name in ILLEGAL:
        plain_place.put(name, content(name))
    wanted = {f"{number}.csv": Pointer(plain_place.uri(name)) for number, name in enumerate(ILLEGAL)}
    artifact = plain_place.client(tmp_path).register_artifact("lake", wanted)
    for number, name in enumerate(ILLEGAL):
        assert artifact.read_bytes(f"{number}.csv") == content(name)
    assert artifact.verify()


def test_a_prefix_takes_no_neighbour_whose_name_begins_alike(plain_place: Place, tmp_path):
    for name in ("day/1.csv", "day/2.csv", "days/1.csv", "day.csv"):
        plain_place.put(name, content(name))
    for uri in (plain_place.uri("day/"), plain_place.uri("day")):
        artifact = plain_place.client(tmp_path).register_pointer("lake", uri)
        assert {entry.path: entry.uri for entry in artifact.entries} == {
            "1.csv": plain_place.uri("day/1.csv"),
            "2.csv": plain_place.uri("day/2.csv"),
        }
