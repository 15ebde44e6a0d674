"""A listing of a place is not believed alone: neither where it goes back nor where it leaves something out."""

from __future__ import annotations

import itertools

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from metamlflow import MetaMLFlowClient
from metamlflow.backend.external import ObjectMeta
from metamlflow.backend.tags import entity_tag
from metamlflow.errors import StorageUnavailableError
from metamlflow_local.external import LocalExternalStore

COUNT = 30


@pytest.fixture
def lake(tmp_path):
    (tmp_path / "lake").mkdir()
    for number in range(COUNT):
        (tmp_path / f"lake/{number:02d}.csv").write_text(str(number))
    return tmp_path / "lake"


@pytest.fixture
def lying(monkeypatch):
    """Makes listings lie: what they would show goes through a function."""
    real, looks = LocalExternalStore.list_objects, []
    look = LocalExternalStore.head

    def lie(change):
        monkeypatch.setattr(
            LocalExternalStore, "list_objects", lambda self, prefix, **how: change(real(self, prefix, **how))
        )
        monkeypatch.setattr(LocalExternalStore, "head", lambda self, *what: looks.append(what) or look(self, *what))
        return looks

    return lie


def overlapping(found):
    found = list(found)
    return iter([*found[:20], *found[15:]])


def endless(found):
    return itertools.chain.from_iterable(itertools.repeat(list(found)))


def twice(found):
    return (seen for one in found for seen in (one, one))


BACK = {"a page that overlaps": overlapping, "pages without end": endless, "each object twice": twice}


@pytest.mark.parametrize("change", BACK.values(), ids=BACK)
def test_a_listing_that_goes_back_registers_nothing(client, raw, lake, lying, change):
    lying(change)
    for uri in (lake, f"{lake}/*.csv"):
        with pytest.raises(StorageUnavailableError, match="goes back"):
            client.register_pointer("a", uri)
    assert raw.manifests() == []


@pytest.mark.parametrize("change", BACK.values(), ids=BACK)
def test_a_refresh_publishes_nothing_from_it_and_a_verification_looks_at_each_object(client, raw, lake, lying, change):
    artifact = client.register_pointer("a", lake)
    lying(change)
    with pytest.raises(StorageUnavailableError):
        artifact.refresh()
    assert len(raw.manifests()) == 1
    assert artifact.verify("stat")


LACKING = {
    "empty": lambda _: iter(()),
    "without its end": lambda found: itertools.islice(found, 10),
    "without its beginning": lambda found: itertools.islice(found, 20, None),
    "with a gap": lambda found: (seen for number, seen in enumerate(found) if not 5 <= number < 25),
    "of other sizes": lambda found: (ObjectMeta(seen.name, seen.size + 1, modified_ns=1) for seen in found),
}


@pytest.mark.parametrize("change", LACKING.values(), ids=LACKING)
def test_what_a_listing_lacks_is_looked_for_before_it_is_called_missing(client, lake, lying, change):
    artifact = client.register_pointer("a", lake)
    lying(change)
    assert artifact.verify("stat").counts["ok"] == COUNT


@pytest.mark.parametrize("change", [LACKING["without its end"], LACKING["with a gap"]])
def test_a_refresh_does_not_drop_what_is_there(client, raw, lake, lying, change):
    artifact = client.register_pointer("a", lake)
    lying(change)
    with pytest.raises(StorageUnavailableError, match="does not show it"):
        artifact.refresh()
    assert len(raw.manifests()) == 1


def test_what_is_gone_is_still_found_with_few_looks(client, lake, lying):
    artifact = client.register_pointer("a", lake)
    for number in range(5, COUNT):
        (lake / f"{number:02d}.csv").unlink()
    looks = lying(lambda found: found)
    report = artifact.verify("stat")
    assert (report.counts["missing"], report.counts["ok"]) == (COUNT - 5, 5)
    assert len(looks) < COUNT - 5
    looks.clear()
    assert len(artifact.refresh().changes.removed) == COUNT - 5
    assert len(looks) <= 8


# --- tags -------------------------------------------------------------------------------------------------------------


class TaggedFileSystem(MemoryFileSystem):
    """A file system that spells tags otherwise in a listing than in a look."""

    protocol = "tagged"
    store: dict = {}  # noqa: RUF012 (as its parent has it, for all instances)
    pseudo_dirs = [""]  # noqa: RUF012
    listed, looked = "{}", '"{}"'

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("tagged://", "memory://"))

    def ls(self, path, detail=True, **kwargs):  # noqa: FBT002 (as fsspec has it)
        found = [self._told(info, self.listed) for info in super().ls(path, detail=True, **kwargs)]
        return found if detail else [info["name"] for info in found]

    def info(self, path, **kwargs):
        return self._told(super().info(path, **kwargs), self.looked)

    def _told(self, info, spelling):
        facts = {name: info[name] for name in ("name", "size", "type")}
        if facts["type"] == "file":
            facts["ETag"] = spelling.format(f"tag-of-{len(self.store[facts['name']].getvalue())}")
        return facts


@pytest.fixture(params=[("{}", '"{}"'), ('"{}"', "{}"), ('W/"{}"', "W/{}")], ids=["listed", "looked", "weak"])
def tagged(request, monkeypatch):
    fsspec.register_implementation("tagged", TaggedFileSystem, clobber=True)
    monkeypatch.setattr(TaggedFileSystem, "listed", request.param[0])
    monkeypatch.setattr(TaggedFileSystem, "looked", request.param[1])
    filesystem = fsspec.filesystem("tagged")
    for number in range(12):
        filesystem.pipe_file(f"/t/{number:02d}", b"x" * number)
    yield filesystem
    filesystem.rm("/t", recursive=True)


def test_a_tag_is_the_same_with_and_without_quotes(tagged, store_folder, monkeypatch):
    client = MetaMLFlowClient(store_folder, pointer_policy={"tagged": "allow"})
    artifact = client.register_pointer("a", "tagged://t/")
    for spelling in (("{}", '"{}"'), ('"{}"', "{}")):  # also after the server, or this library, changes its mind
        if "W/" not in TaggedFileSystem.listed:
            monkeypatch.setattr(TaggedFileSystem, "listed", spelling[0])
            monkeypatch.setattr(TaggedFileSystem, "looked", spelling[1])
        assert artifact.read_bytes("05") == b"x" * 5
        assert artifact.verify("stat")
        assert artifact.verify("full")
        assert not artifact.refresh()
    tagged.pipe_file("/t/05", b"x" * 6)
    assert artifact.refresh().changes.modified == ["05"]


@pytest.mark.parametrize(
    ("tag", "spelled"),
    [(None, None), ("a", '"a"'), ('"a"', '"a"'), ('W/"a"', 'W/"a"'), ("W/a", 'W/"a"'), ("", '""'), (' "a" ', '"a"')],
)
def test_a_tag_has_one_spelling(tag, spelled):
    assert entity_tag(tag) == spelled
