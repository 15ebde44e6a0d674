"""delete: idempotent, and of the named keys only."""
# ruff: noqa: S101 (a suite consists of asserts)

from __future__ import annotations

import pytest

from metamlflow.backend import Backend
from metamlflow.errors import ObjectNotFoundError
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
