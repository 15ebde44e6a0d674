"""Verifying many versions: which ones, what the report says of all, going on after a stop, and not going too fast."""

from __future__ import annotations

import contextlib
import io
import json
import time

import pytest
from rich.console import Console

from metamlflow import MetaMLFlowClient
from metamlflow.artifacts import Pointer
from metamlflow.errors import ArtifactNotFoundError, InvalidInputError, StoreFormatError, StoreNotFoundError

NAMES = {"a/x": 2, "b": 1, "c": 3}


@pytest.fixture
def store_folder(quick_folder):
    return quick_folder / "store"


@pytest.fixture
def filled(client):
    """A store with three names of some versions, of three files each."""
    for name, versions in NAMES.items():
        for version in range(1, versions + 1):
            client.register_artifact(name, {file: f"{name} {version} {file}".encode() for file in "123"})
    return client


@pytest.fixture
def large(client, folder):
    """An artifact of 3,000 files, which is checked in three parts; one file of the second part is missing."""
    for number in range(3_000):
        (folder / f"{number:04}").write_bytes(b"same")
    artifact = client.register_pointer("large", folder)
    (folder / "1500").unlink()
    return artifact


def references(verification):
    return [f"{report.name}@{report.version}" for report in verification.reports]


def blob_of(raw, name, version, file):
    return raw.blob_path(f"{name} {version} {file}".encode())


EVERYTHING = ["a/x@1", "a/x@2", "b@1", "c@1", "c@2", "c@3"]
WANTED = {
    "everything": (None, EVERYTHING),
    "a name": (["c"], ["c@1", "c@2", "c@3"]),
    "a text": ("c", ["c@1", "c@2", "c@3"]),
    "a version": (["c@2"], ["c@2"]),
    "the latest": (["c@latest"], ["c@3"]),
    "names and versions, in their order": (["c@1", "a/x"], ["c@1", "a/x@1", "a/x@2"]),
    "an iterator": (iter(["b"]), ["b@1"]),
    "nothing": ([], []),
}


@pytest.mark.parametrize(("names", "expected"), WANTED.values(), ids=WANTED)
def test_names_mean_all_their_versions_and_references_one(filled, names, expected):
    verification = filled.verify_all(names)
    assert references(verification) == expected
    assert verification
    assert verification.exit_code == 0
    assert verification.counts == {"ok": 3 * len(expected)} | dict.fromkeys(
        ("modified", "missing", "unreadable", "unverifiable"), 0
    )


@pytest.mark.parametrize("names", [["nope"], ["b", "nope"], ["b", "c@7"]])
def test_a_name_that_does_not_exist_is_an_error_before_anything_is_checked(filled, names):
    with pytest.raises(ArtifactNotFoundError):
        filled.verify_all(names, progress=lambda progress: pytest.fail(f"{progress}"))


def test_a_store_that_does_not_exist_does_not_pass_as_an_empty_one(tmp_path):
    client = MetaMLFlowClient(tmp_path / "none")
    for names in (None, ["a"], []):
        with pytest.raises(StoreNotFoundError):
            client.verify_all(names)


@pytest.mark.parametrize("level", ["", "FULL", None])
def test_an_unknown_level_is_told_which_there_are(filled, level):
    with pytest.raises(InvalidInputError, match="use 'full', 'checksum', 'stat'"):
        filled.verify_all(level=level)


def test_it_goes_on_after_findings_and_counts_them_all(filled, raw, folder):
    (folder / "gone").write_bytes(b"gone")
    filled.register_pointer("p", folder)
    (folder / "gone").unlink()
    raw.overwrite(blob_of(raw, "a/x", 1, "2"), b"damaged")
    blob_of(raw, "c", 3, "1").unlink()
    verification = filled.verify_all()
    assert references(verification) == [*EVERYTHING, "p@1"]
    assert not verification.ok
    assert verification.exit_code == 1
    assert [(r.name, f.path, f.status) for r in verification.reports for f in r.findings] == [
        ("a/x", "2", "modified"),
        ("c", "1", "missing"),
        ("p", "gone", "missing"),
    ]
    assert verification.counts == {"ok": 16, "modified": 1, "missing": 2, "unreadable": 0, "unverifiable": 0}


def test_a_level_is_that_of_every_report(filled, raw):
    raw.overwrite(blob_of(raw, "b", 1, "1"), b"B 1 1")
    assert filled.verify_all(level="stat").ok
    assert {report.level for report in filled.verify_all(level="stat").reports} == {"stat"}
    assert not filled.verify_all(level="full").ok
    assert filled.verify_all(["b"], level="checksum").counts["unverifiable"] == 3


def test_a_damaged_manifest_and_a_missing_one_are_named_and_the_rest_is_checked(filled, raw):
    raw.overwrite(raw.manifest_path("c", 2), b"{")
    raw.manifest_path("a/x", 1).unlink()
    verification = filled.verify_all()
    assert references(verification) == ["a/x@2", "b@1", "c@1", "c@3"]
    found = {error.reference: error.error for error in verification.errors}
    assert isinstance(found["c@2"], StoreFormatError)
    assert set(found) == {"c@2", "c", "a/x"}
    assert "a/x@1 is missing" in found["a/x"].message
    assert "c@2 was altered" in found["c"].message
    assert verification.exit_code == 1


def test_all_of_it_is_json_and_a_table(filled, raw):
    blob_of(raw, "b", 1, "3").unlink()
    raw.overwrite(raw.manifest_path("c", 2), b"{")
    verification = filled.verify_all(["b", "c"])
    document = json.loads(json.dumps(verification.to_json()))
    assert (set(document), document["ok"]) == ({"ok", "counts", "reports", "errors"}, False)
    assert document["counts"] == {"ok": 8, "modified": 0, "missing": 1, "unreadable": 0, "unverifiable": 0}
    assert [report["name"] for report in document["reports"]] == ["b", "c", "c"]
    errors = [(error["reference"], error["error"]) for error in document["errors"]]
    assert errors == [("c@2", "StoreFormatError"), ("c", "IntegrityError")]
    console = Console(file=io.StringIO(), width=250)
    console.print(verification, verification.reports[1])
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert lines[0] == "ARTIFACT STATUS WHAT"
    assert "b@1 failed level full: 2 ok, 1 missing" in lines
    assert any(line.startswith("missing 3: expected sha256:") and line.endswith("got missing") for line in lines)
    assert any(line.startswith("c@2 unreadable") for line in lines)
    assert lines.count("c@1 ok level full: 3 ok") == 2


def test_names_that_look_like_markup_stand_in_the_table_as_they_are(client, folder):
    (folder / "[red]x").write_bytes(b"")
    artifact = client.register_artifact("a", {"[bold]": Pointer(str(folder))})
    (folder / "[red]x").unlink()
    console = Console(file=io.StringIO(), width=250)
    console.print(artifact.verify())
    assert "[bold]/[red]x" in console.file.getvalue()


# --- going on after a stop --------------------------------------------------------------------------------------------


class Watch:
    """A callback that counts the files of all versions, and interrupts, as Ctrl-C does, after so many."""

    def __init__(self, most=None):
        self.files = self._last = 0
        self._most = most

    def __call__(self, state):
        self.files += max(0, state.files - self._last)
        self._last = state.files
        if self.files == self._most:
            raise KeyboardInterrupt


def checked(verify, **options):
    """Return the result of a verification, and how many files were really looked at: others never tell progress."""
    watch = Watch()
    return verify(progress=watch, **options), watch.files


def stopped(verify, journal, files, **options):
    with pytest.raises(KeyboardInterrupt):
        verify(resume=journal, progress=Watch(files), **options)
    return journal.read_text().splitlines()


def test_what_was_stopped_goes_on_where_it_was(filled, tmp_path):
    journal = tmp_path / "journal"
    lines = stopped(filled.verify_all, journal, 7)
    assert len(lines) == 1 + 2
    verification, looked_at = checked(filled.verify_all, resume=journal)
    assert references(verification) == EVERYTHING
    assert looked_at == 3 * (len(EVERYTHING) - 2)
    assert verification.to_json() == filled.verify_all().to_json()
    assert not journal.exists()


@pytest.mark.full
def test_within_a_large_version_only_the_parts_that_are_left_are_done(large, tmp_path):
    journal = tmp_path / "journal"
    lines = stopped(large.verify, journal, 2_500, level="stat")
    assert len(lines) == 1 + 2
    report, looked_at = checked(large.verify, resume=str(journal), level="stat")
    assert looked_at == 3_000 - 2 * 1_024
    assert report.to_json() == large.verify("stat").to_json()
    assert [(f.path, f.status) for f in report.findings] == [("1500", "missing")]
    assert not journal.exists()


@pytest.mark.parametrize("tail", [b'{"manifest": "sha256:', b'{"manifest"', b"\xff\xfe", b"\n"])
def test_a_last_line_that_was_cut_off_is_done_again(filled, tmp_path, tail):
    journal = tmp_path / "journal"
    lines = stopped(filled.verify_all, journal, 7)
    journal.write_bytes("\n".join(lines[:-1]).encode() + b"\n" + tail)
    verification, looked_at = checked(filled.verify_all, resume=journal)
    assert verification.ok
    assert looked_at == 3 * (len(EVERYTHING) - 1)


def test_an_empty_journal_is_a_new_one(filled, tmp_path):
    journal = tmp_path / "journal"
    journal.touch()
    assert checked(filled.verify_all, resume=journal)[1] == 3 * len(EVERYTHING)
    assert not journal.exists()


def test_what_could_not_be_read_is_tried_again(filled, raw, tmp_path):
    journal = tmp_path / "journal"
    lines = stopped(filled.verify_all, journal, 7)
    first = json.loads(lines[1])
    first["findings"] = [{"path": "1", "status": "unreadable", "key": "k", "expected": "x", "actual": "no network"}]
    journal.write_text("\n".join([lines[0], json.dumps(first), lines[2]]) + "\n")
    verification, looked_at = checked(filled.verify_all, resume=journal)
    assert verification.ok
    assert looked_at == 3 * (len(EVERYTHING) - 1)


def test_a_version_that_is_another_now_is_done_again(filled, raw, tmp_path):
    journal = tmp_path / "journal"
    stopped(filled.verify_all, journal, 7)
    place = raw.manifest_path("a/x", 1)
    raw.overwrite(place, place.read_bytes().replace(b'"type":"file"', b'"type":"fake"'))
    fresh = MetaMLFlowClient(filled.storage_uri)
    assert checked(fresh.verify_all, resume=journal)[1] == 3 * (len(EVERYTHING) - 1)


OTHERS = {
    "another store": lambda head: json.dumps(head | {"verification": "file:///other"}),
    "another level": lambda head: json.dumps(head | {"level": "stat"}),
    "something else": lambda _: "my notes",
    "another document": lambda _: "[]",
    "binary": lambda _: "\0\0\0",
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_file_that_is_not_of_this_verification_is_refused_and_left_alone(filled, tmp_path, other):
    journal = tmp_path / "journal"
    lines = stopped(filled.verify_all, journal, 4)
    journal.write_text(other(json.loads(lines[0])) + "\n")
    before = journal.read_bytes()
    with pytest.raises(
        InvalidInputError, match=r"^resume: .* does not hold the progress of a verification of this store at this level"
    ):
        filled.verify_all(resume=journal)
    assert journal.read_bytes() == before


# --- pace -------------------------------------------------------------------------------------------------------------


def seconds(work):
    started = time.monotonic()
    work()
    return time.monotonic() - started


@pytest.mark.parametrize("level", ["full", "stat"])
def test_no_more_objects_a_second_are_looked_at_than_was_said(filled, level):
    # Six versions of three files: the first passes at once, the eighteenth after 17 of the intervals.
    assert seconds(lambda: filled.verify_all(level=level, objects_per_second=60)) >= 17 / 60


def test_no_more_bytes_a_second_are_read_than_was_said(client):
    artifact = client.register_artifact("a", {name: name.encode() * 100_000 for name in "abcd"})
    assert seconds(lambda: artifact.verify(bytes_per_second=1_000_000)) >= 0.3
    assert seconds(lambda: artifact.verify("stat", bytes_per_second=1)) < 5  # reads nothing


@pytest.mark.parametrize("limit", [0, -1, float("nan"), -0.0])
@pytest.mark.parametrize("name", ["objects_per_second", "bytes_per_second"])
def test_a_limit_is_above_zero(filled, name, limit):
    with pytest.raises(InvalidInputError, match=f"{name} is a number above 0"):
        filled.verify_all(**{name: limit})


@pytest.mark.parametrize("line", ["7", "{}", "[]", '"text"', '{"manifest": 1, "part": 2}'])
def test_a_line_of_another_shape_is_no_crash(filled, tmp_path, line):
    journal = tmp_path / "journal"
    lines = stopped(filled.verify_all, journal, 7)
    journal.write_text(f"{lines[0]}\n{line}\n")
    with contextlib.suppress(InvalidInputError):
        assert filled.verify_all(resume=journal)
