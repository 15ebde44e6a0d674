"""The part that fsspec-based backends share, where fsspec itself would answer wrongly. All else is the suite's."""

import pytest
from fsspec.implementations.local import LocalFileSystem

from metamlflow.backend import FsspecBackend, translated_errors
from metamlflow.errors import AccessDeniedError, ObjectNotFoundError, StorageUnavailableError
from metamlflow_local import LocalBackend


class OnLocalFiles(FsspecBackend):
    """The local backend's writing with fsspec's reading."""

    def __init__(self, root, filesystem):
        super().__init__(filesystem, str(root), f"file://{root}")
        self._writer = LocalBackend(root)

    def create(self, key, data):
        self._writer.create(key, data)

    def put(self, key, blob):
        return self._writer.put(key, blob)


class Locked(LocalFileSystem):
    """One folder may not be listed; the error is real enough, but root would not get it."""

    cachable = False

    def ls(self, path, detail=False, **kwargs):  # noqa: FBT002 (fsspec's signature)
        if path.endswith("/locked"):
            raise PermissionError(13, "Permission denied", path)
        return super().ls(path, detail=detail, **kwargs)


class RaisingLater(LocalFileSystem):
    """Folders that are there when their parent is listed, and gone when they are."""

    cachable = False

    def ls(self, path, detail=False, **kwargs):  # noqa: FBT002 (fsspec's signature)
        if path.endswith("/b"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return super().ls(path, detail=detail, **kwargs)


class OpensFolders(LocalFileSystem):
    """As object stores do: a folder is an empty file."""

    cachable = False

    def _open(self, path, mode="rb", **kwargs):
        reader = super()._open("/dev/null", mode)
        reader.details = self.info(path)
        return reader


def keys_of(listing):
    return [info.key for info in listing]


def test_a_folder_that_cannot_be_listed_fails_the_listing(tmp_path):
    backend = OnLocalFiles(tmp_path, Locked())
    for key in ("a/1", "locked/2", "z/3"):
        backend.create(key, b"x")
    listing = backend.list_objects()
    assert next(listing).key == "a/1"
    with pytest.raises(AccessDeniedError):
        list(listing)
    assert keys_of(backend.list_objects("z/")) == ["z/3"]


def test_a_folder_that_went_away_meanwhile_ends_no_listing(tmp_path):
    backend = OnLocalFiles(tmp_path, RaisingLater())
    for key in ("a/1", "b/2", "c/3"):
        backend.create(key, b"x")
    assert keys_of(backend.list_objects()) == ["a/1", "c/3"]


def test_a_folder_opened_as_an_empty_file_is_not_found(tmp_path):
    backend = OnLocalFiles(tmp_path, OpensFolders())
    backend.create("a/1", b"x")
    with pytest.raises(ObjectNotFoundError):
        backend.open("a")
    backend.open("a/1").close()


class ClientError(Exception):
    """A client library's own, which is no OSError."""


def own_table(error):
    return StorageUnavailableError("the client gave up") if isinstance(error, ClientError) else None


def test_a_backend_s_own_table_translates_errors_that_are_no_os_errors():
    cause = ClientError("503")
    with pytest.raises(StorageUnavailableError) as caught, translated_errors("a", own=own_table):
        raise cause
    assert caught.value.__cause__ is cause


def test_its_own_table_goes_before_the_common_one():
    def table(error):
        return AccessDeniedError("expired") if isinstance(error, FileNotFoundError) else None

    with pytest.raises(AccessDeniedError), translated_errors("a", own=table):
        raise FileNotFoundError


@pytest.mark.parametrize("defect", [ZeroDivisionError(), ClientError()])
def test_a_defect_is_no_failure_of_the_storage(defect):
    with pytest.raises(type(defect)), translated_errors("a"):
        raise defect
