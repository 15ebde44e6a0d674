"""delete: idempotent, and of the named keys only."""
# ruff: noqa: S101 (a suite consists of asserts)

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from metamlflow.backend import Backend, ObjectInfo, delete_seen
from metamlflow.errors import ConflictError, ObjectNotFoundError
from metamlflow.testing.blobs import blob_of
from metamlflow.testing.suite.hooks import SuiteHooks


class Deleting(SuiteHooks):
    """Tests of :meth:`Backend.delete`."""

    def test_only_what_is_named_is_deleted(self, backend: Backend) -> None:
        """Other keys with the same beginning stay."""
        self.fill(backend, ["a/b.json", "a/b.json.gz", "a/c/d.json"])
        assert backend.delete(["a/b.json"]) == []
        assert [info.key for info in backend.list_objects()] == ["a/b.json.gz", "a/c/d.json"]
        with pytest.raises(ObjectNotFoundError):
            self.reopen(backend).stat("a/b.json")

    def test_a_missing_key_is_no_failure(self, backend: Backend) -> None:
        """Deleting twice succeeds, and other named keys are deleted nevertheless."""
        self.fill(backend, ["a.json", "b.json"])
        assert backend.delete(["a.json", "never/there.json", "b.json", "a.json"]) == []
        assert backend.delete(["a.json", "a.json/below"]) == []
        assert list(backend.list_objects()) == []

    def test_a_folder_is_a_missing_key(self, backend: Backend) -> None:
        """Objects below a key are not deleted with it."""
        self.fill(backend, ["a/b/c.json", "d.json"])
        assert backend.delete(["a", "a/b", "d.json/e"]) == []
        assert [info.key for info in backend.list_objects()] == ["a/b/c.json", "d.json"]

    def test_any_iterable_of_keys_is_taken(self, backend: Backend) -> None:
        """The keys may come from a generator, and there may be none."""
        self.fill(backend, ["a.json", "b.json"])
        assert backend.delete([]) == []
        assert backend.delete(key for key in ("a.json", "b.json")) == []
        assert list(backend.list_objects()) == []

    def test_records_and_blobs_are_deleted_alike(self, backend: Backend) -> None:
        """Both are deleted, whatever protects them against writes."""
        backend.create("record.json", b"record")
        backend.put("blob.bin", blob_of(b"blob"))
        assert backend.delete(["record.json", "blob.bin"]) == []
        assert list(backend.list_objects()) == []

    def test_what_was_seen_is_deleted(self, backend: Backend) -> None:
        """Objects as a listing and as a look showed them."""
        self.fill(backend, ["a.json", "b.json", "c.json"])
        seen = [*backend.list_objects("a"), backend.stat("b.json")]
        assert delete_seen(backend, seen) == []
        assert [info.key for info in backend.list_objects()] == ["c.json"]

    def test_another_object_than_was_seen_is_left(self, backend: Backend) -> None:
        """One that was written at another time, also with the same content, and one of another size; others go."""
        self.fill(backend, ["a.json", "b.json", "c.json"])
        older, other = self.info_of_another(backend, "a.json"), self.info_of_another(backend, "b.json")
        other = replace(other, modified=backend.stat("b.json").modified, size=other.size + 1)
        failures = delete_seen(backend, [older, other, backend.stat("c.json")])
        assert {failure.key: type(failure.error) for failure in failures} == {
            "a.json": ConflictError,
            "b.json": ConflictError,
        }
        assert [info.key for info in backend.list_objects()] == ["a.json", "b.json"]

    def test_what_was_seen_and_is_gone_is_told(self, backend: Backend) -> None:
        """It was not this call that deleted it."""
        self.fill(backend, ["a.json", "b.json"])
        seen = list(backend.list_objects())
        assert backend.delete(["a.json"]) == []
        failures = delete_seen(backend, seen)
        assert [(failure.key, type(failure.error)) for failure in failures] == [("a.json", ObjectNotFoundError)]
        assert list(backend.list_objects()) == []

    def info_of_another(self, backend: Backend, key: str) -> ObjectInfo:
        """Return what was seen of an object that lay under a key before the one there now: an hour older."""
        now = backend.stat(key)
        version = str(int(now.version) - 1) if now.version and now.version.isdigit() else None
        return replace(now, modified=now.modified - timedelta(hours=1), version=version)
