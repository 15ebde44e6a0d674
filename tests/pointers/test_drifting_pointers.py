"""Files that change after they were pointed to: every use tells it, and none hands out or leaves behind other bytes."""

from __future__ import annotations

import os
from itertools import count

import pytest

from metamlflow.backend.external import ObjectMeta
from metamlflow.errors import MetaMLFlowError, PointerDriftError
from metamlflow.store.catalog.external import entry_of

NANOSECONDS = 1_700_000_000_123_456_789
LATER = NANOSECONDS + 1
REGISTERED_AT, CHANGED_AT = "modified 2023-11-14T22:13:20.123456789Z", "modified 2023-11-14T22:13:20.123456790Z"
BYTES = b"registered"
MEGABYTE = 1 << 20

USES = {
    "read_bytes": lambda artifact, _: artifact.read_bytes("data.bin"),
    "open": lambda artifact, _: artifact.open("data.bin").read(),
    "download": lambda artifact, folder: artifact.download(folder / "out"),
    "local_path": lambda artifact, _: artifact.local_path(),
    "local_path of the file": lambda artifact, _: artifact.local_path(next(iter(artifact.entries)).path),
}


def write(path, content=BYTES, nanoseconds=NANOSECONDS):
    path.write_bytes(content)
    os.utime(path, ns=(nanoseconds, nanoseconds))


@pytest.fixture
def file(folder):
    write(folder / "data.bin")
    return folder / "data.bin"


def content_of(artifact, use, folder):
    """What a use hands out, as bytes."""
    found = use(artifact, folder)
    return found if isinstance(found, bytes) else (found / "data.bin" if found.is_dir() else found).read_bytes()


# name: the change, at which strengths it is seen, and what the error says was expected and found (in place of the time,
# the digest if there is one)
CHANGES = {
    "size": (lambda f: write(f, b"more than was there"), {"stat", "full"}, "10 bytes", "19 bytes"),
    "size and time": (lambda f: write(f, b"", LATER), {"stat", "full"}, "10 bytes", "0 bytes"),
    "content and time": (
        lambda f: write(f, b"REGISTERED", LATER),
        {"stat", "full"},
        REGISTERED_AT,
        CHANGED_AT,
    ),
    "an earlier time": (
        lambda f: write(f, b"REGISTERED", 1),
        {"stat", "full"},
        REGISTERED_AT,
        "modified 1970-01-01T00:00:00.000000001Z",
    ),
    "content alone": (lambda f: write(f, b"REGISTERED"), {"full"}, "sha256:", "sha256:"),
    "time alone": (
        lambda f: os.utime(f, ns=(LATER, LATER)),
        {"stat"},
        REGISTERED_AT,
        CHANGED_AT,
    ),
    "gone": (lambda f: f.unlink(), {"stat", "full"}, "10 bytes", "missing"),
}
SEEN = [(change, strength) for change, (_, seen, *_) in CHANGES.items() for strength in sorted(seen)]


@pytest.mark.parametrize(("change", "strength"), SEEN)
@pytest.mark.parametrize("kind", ["object", "prefix"])
def test_a_change_is_told_by_every_use_and_nothing_is_handed_out(client, file, tmp_path, change, strength, kind):
    alter, _, expected, actual = CHANGES[change]
    artifact = client.register_pointer("a", file if kind == "object" else file.parent, evidence=strength)
    alter(file)
    for use in USES.values():
        with pytest.raises(PointerDriftError) as caught:
            use(artifact, tmp_path)
        error = caught.value
        assert (error.path, error.key) == ("data.bin", f"file://{file}")
        assert error.expected.startswith((expected, "sha256:") if strength == "full" else expected)
        assert error.actual.startswith((actual, "sha256:") if strength == "full" else actual)
        assert error.expected != error.actual
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.glob("cache/**/data.bin")) == []


def test_a_file_that_was_only_touched_is_read_by_every_use_if_its_content_is_known(client, file, tmp_path):
    artifact = client.register_pointer("a", file, evidence="full")
    os.utime(file, ns=(LATER, LATER))
    assert [content_of(artifact, use, tmp_path) for use in USES.values()] == [BYTES] * len(USES)


def test_a_large_file_that_was_only_touched_is_read_if_its_content_is_known(client, file, tmp_path):
    content = os.urandom(3 * MEGABYTE)
    write(file, content)
    artifact = client.register_pointer("a", file, evidence="full")
    os.utime(file, ns=(LATER, LATER))
    assert (artifact.download(tmp_path / "out")).read_bytes() == content
    with artifact.open() as reader:
        reader.seek(MEGABYTE)
        assert reader.read(5) == content[MEGABYTE : MEGABYTE + 5]
    write(file, content[:-1] + bytes([content[-1] ^ 1]), LATER)
    with artifact.open() as reader:
        reader.seek(MEGABYTE)
        with pytest.raises(PointerDriftError):
            reader.read(5)


@pytest.mark.parametrize("evidence", ["stat", "full"])
@pytest.mark.parametrize("kind", ["object", "prefix"])
def test_a_local_copy_keeps_what_was_registered_whatever_becomes_of_the_file(client, file, evidence, kind):
    place = file if kind == "object" else file.parent
    first = client.register_pointer("a", place, evidence=evidence)
    assert content_of(first, USES["local_path"], None) == BYTES
    write(file, b"REGISTERED", LATER)
    second = client.register_pointer("a", place, evidence=evidence)
    assert content_of(first, USES["local_path"], None) == BYTES
    assert content_of(second, USES["local_path"], None) == b"REGISTERED"


def test_what_stat_evidence_cannot_tell_is_handed_out(client, file):
    artifact = client.register_pointer("a", file)
    write(file, b"REGISTERED")
    assert artifact.read_bytes() == b"REGISTERED"


@pytest.mark.parametrize("strength", ["stat", "full"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("level", ["stat", "full"])
def test_verification_finds_what_its_level_and_the_evidence_can_tell(client, file, change, strength, level):
    alter, seen, *_ = CHANGES[change]
    artifact = client.register_pointer("a", file, evidence=strength)
    alter(file)
    expected = strength in seen
    if level == "stat":
        expected = change != "content alone"  # it goes by the time, and reads nothing
    (found,) = artifact.verify(level).findings or (None,)
    assert (found is not None) is expected
    if found:
        assert (found.path, found.key) == ("data.bin", f"file://{file}")
        assert found.status == ("missing" if change == "gone" else "modified")


def test_at_level_checksum_a_file_is_unverifiable_since_nobody_holds_a_digest(client, file):
    (finding,) = client.register_pointer("a", file, evidence="full").verify("checksum").findings
    assert (finding.status, finding.actual) == ("unverifiable", "the server holds no digest of these")
    (finding,) = client.register_pointer("a", file).verify("checksum").findings
    assert (finding.status, finding.actual) == ("unverifiable", "none; strengthen it, or use level stat")


def test_a_reader_tells_a_change_between_two_of_its_reads(client, file):
    write(file, b"x" * MEGABYTE)
    with client.register_pointer("a", file).open() as reader:
        assert reader.read(10) == b"x" * 10
        write(file, b"y" * MEGABYTE, LATER)
        reader.seek(900_000)
        with pytest.raises(PointerDriftError):
            reader.read(10)


def test_a_reader_that_reads_to_the_end_tells_other_content_before_the_last_of_it(client, file):
    write(file, b"x" * MEGABYTE)
    artifact = client.register_pointer("a", file, evidence="full")
    write(file, b"x" * (MEGABYTE - 1) + b"y")
    got = []
    with artifact.open() as reader, pytest.raises(PointerDriftError):
        got.extend(iter(lambda: reader.read(100_000), b""))
    assert b"y" not in b"".join(got)


def test_one_of_many_files_that_changes_during_a_download_leaves_nothing(client, folder, tmp_path):
    for number in range(300):
        write(folder / f"{number:03}")
    artifact = client.register_pointer("a", folder)
    last, calls = folder / "299", count()

    def meddle(progress):
        if progress.files and not next(calls):
            write(last, b"REGISTERED", LATER)

    with pytest.raises(PointerDriftError) as caught:
        artifact.download(tmp_path / "out", progress=meddle)
    assert caught.value.path == "299"
    assert {path.name for path in tmp_path.iterdir()} <= {"folder", "store", "cache"}


def test_a_large_file_that_changes_during_a_download_leaves_what_was_there(client, quick_folder):
    file, out = quick_folder / "large", quick_folder / "out"
    file.touch()
    os.truncate(file, 96 * MEGABYTE)
    artifact = client.register_pointer("a", file)
    out.mkdir()
    (out / "large").write_bytes(b"mine")
    moved = []

    def meddle(progress):
        if progress.bytes and not moved:
            moved.append(progress.bytes)
            os.utime(file, ns=(LATER, LATER))

    with pytest.raises(PointerDriftError):
        artifact.download(out, overwrite=True, progress=meddle)
    assert 0 < moved[0] < 96 * MEGABYTE
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"large": b"mine"}
    assert {path.name for path in quick_folder.iterdir()} == {"large", "out"}


def test_a_file_that_changes_while_it_is_registered_in_full_registers_nothing(client, raw, folder):
    for number in range(300):
        write(folder / f"{number:03}")

    def meddle(progress):
        if progress.files:
            write(folder / "299", b"REGISTERED", LATER)

    with pytest.raises(MetaMLFlowError) as caught:
        client.register_pointer("a", folder, evidence="full", progress=meddle)
    assert isinstance(caught.value, PointerDriftError)
    assert caught.value.path == "299"
    assert raw.manifests() == []


def test_drift_of_one_file_leaves_the_others_readable(client, folder, tmp_path):
    for name in "abc":
        write(folder / name, name.encode())
    artifact = client.register_pointer("a", folder)
    write(folder / "b", b"B", LATER)
    assert [artifact.read_bytes(name) for name in "ac"] == [b"a", b"c"]
    assert artifact.download(tmp_path / "out", path="c").read_bytes() == b"c"
    assert [(f.path, f.status) for f in artifact.verify("stat").findings] == [("b", "modified")]


@pytest.mark.parametrize("time", [2**63, -(2**63) - 1, 10**30])
def test_a_time_that_no_document_holds_is_not_recorded(time):
    assert entry_of("a", "s3://lake", ObjectMeta("a", 1, etag="x", modified_ns=time)).evidence.modified_ns is None
    assert entry_of("a", "s3://lake", ObjectMeta("a", 1, modified_ns=2**63 - 1)).evidence.modified_ns == 2**63 - 1


def test_a_time_that_no_calendar_has_is_told_as_a_number():
    far = ObjectMeta("a", 1, modified_ns=10**30)
    assert far.difference(ObjectMeta("a", 1)) == (f"modified {10**30}", "modified none")
