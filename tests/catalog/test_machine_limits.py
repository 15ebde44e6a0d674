"""What this machine lacks or refuses is told as an error of the library with a remedy, whichever call meets it."""

from __future__ import annotations

import errno
import io
import os
import pickle
import resource
from pathlib import Path

import pandas as pd
import pytest

import metamlflow
from metamlflow import MetaMLFlowClient
from metamlflow.backend import translated_errors
from metamlflow.data import Dataset
from metamlflow.errors import (
    AccessDeniedError,
    InvalidInputError,
    MetaMLFlowError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    UnsupportedSourceError,
)
from metamlflow.store.ingest.sources import source_error

BIG = bytes(3 << 20)


def error_of(work) -> MetaMLFlowError | None:
    """Run in a forked child, whose folder and limits are its own; return the error, or raise what is none of ours."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            work()
            answer: object = None
        except BaseException as error:  # noqa: BLE001 (it is looked at in the parent)
            answer = error if isinstance(error, MetaMLFlowError) else repr(error)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        with os.fdopen(writer, "wb") as out:
            out.write(pickle.dumps(answer))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as received:
        answer = pickle.loads(received.read())
    os.waitpid(child, 0)
    assert not isinstance(answer, str), answer
    return answer


@pytest.fixture
def artifact(client):
    return client.register_artifact("a", {"x": b"1", "d/y": b"2"})


# --- a working folder that was deleted --------------------------------------------------------------------------------

RELATIVE = {
    "a store": lambda client: MetaMLFlowClient("store").list_artifacts(),
    "a folder": lambda client: client.register_artifact("b", "."),
    "a file": lambda client: client.register_artifact("b", "x.csv"),
    "a pointer": lambda client: client.register_pointer("b", "x.csv"),
    "a download": lambda client: client.get_artifact("a").download("out"),
    "a download here": lambda client: client.get_artifact("a").download("."),
    "a cache": lambda client: MetaMLFlowClient(client.storage_uri, cache_dir="c").get_artifact("a").local_path(),
    "a migration": lambda client: metamlflow.migrate(client.storage_uri, "other"),
    "a progress file": lambda client: client.verify_all(["a"], resume="file"),
}


@pytest.mark.parametrize("use", RELATIVE.values(), ids=RELATIVE)
def test_a_relative_path_in_a_deleted_folder_says_so(client, artifact, tmp_path, use):
    (tmp_path / "gone").mkdir()

    def work():
        os.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        use(client)

    error = error_of(work)
    assert isinstance(error, InvalidInputError | LookupError)
    assert error.hint


def test_all_that_is_absolute_works_in_a_deleted_folder(client, artifact, tmp_path):
    (tmp_path / "gone").mkdir()

    def work():
        os.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        with client.run("job"):
            client.register_artifact("b", b"1")
        client.get_artifact("a").local_path()
        client.get_artifact("a").download(tmp_path / "out")

    assert error_of(work) is None


# --- temp folders -----------------------------------------------------------------------------------------------------

SPOOLED = {
    "a stream": lambda client: client.register_artifact("b", io.BytesIO(BIG)),
    "a table": lambda client: Dataset.register(client, "b", pd.DataFrame({"a": [1]})),
    "tables in a mapping": lambda client: Dataset.register(client, "b", {"x.parquet": pd.DataFrame({"a": [1]})}),
}


@pytest.mark.parametrize("spool", SPOOLED.values(), ids=SPOOLED)
@pytest.mark.parametrize("place", ["/nonexistent", "/etc/hostname", "/" + "n" * 300, "/" + "n/" * 2500])
def test_a_temp_folder_that_cannot_be_used_is_named_with_its_variable(client, monkeypatch, raw, spool, place):
    monkeypatch.setenv("METAMLFLOW_TMPDIR", place)
    with pytest.raises(StorageError, match=r"the temp folder(?s:.)*METAMLFLOW_TMPDIR"):
        spool(client)
    assert raw.manifests() == []


# --- open files -------------------------------------------------------------------------------------------------------

OPENING = {
    "a file": lambda client, folder: client.register_artifact("b", folder / "big"),
    "a folder": lambda client, folder: client.register_artifact("b", folder),
    "a stream": lambda client, folder: client.register_artifact("b", io.BytesIO(BIG)),
    "bytes": lambda client, folder: client.register_artifact("b", b"new"),
    "a pointer": lambda client, folder: client.register_pointer("b", folder, evidence="full"),
    "a read": lambda client, folder: client.get_artifact("a").read_bytes("x"),
    "a download": lambda client, folder: client.get_artifact("a").download(folder.parent / "out"),
    "a cache": lambda client, folder: client.get_artifact("a").local_path(),
    "a listing": lambda client, folder: client.list_artifacts(),
    "a migration": lambda client, folder: metamlflow.migrate(client, folder.parent / "other"),
}


@pytest.mark.full
@pytest.mark.parametrize("use", OPENING.values(), ids=OPENING)
def test_too_many_open_files_are_told_as_such(client, artifact, folder, use):
    (folder / "big").write_bytes(BIG)
    client.register_artifact("warm", folder)
    client.get_artifact("warm").local_path()

    def work():
        client.list_artifacts()
        metamlflow.migrate  # noqa: B018 (imported now: later no file can be opened)
        from metamlflow import migration  # noqa: F401
        from metamlflow.store.cache import file_cache  # noqa: F401
        from metamlflow.store.migrate import version, workers  # noqa: F401
        from metamlflow.store.pointers import evidence, registering  # noqa: F401
        from metamlflow.store.read import download, local_copies  # noqa: F401

        client.register_pointer("warm2", folder, evidence="full")
        client.get_artifact("warm").download(folder.parent / "warm")
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        use(client, folder)

    error = error_of(work)
    assert isinstance(error, StorageUnavailableError), error
    assert "too many files are open" in error.message or "Too many open files" in error.message


# --- names and homes --------------------------------------------------------------------------------------------------

TOO_LONG = {
    "a source": lambda client, place: client.register_artifact("b", place),
    "a pointer": lambda client, place: client.register_pointer("b", place),
    "a destination": lambda client, place: client.get_artifact("a").download(place),
    "a store to write": lambda client, place: MetaMLFlowClient(place).register_artifact("b", b"1"),
    "a store to read": lambda client, place: MetaMLFlowClient(place).get_artifact("b"),
    "a cache": lambda client, place: (
        MetaMLFlowClient(client.storage_uri, cache_dir=place).get_artifact("a").local_path()
    ),
    "a migration": lambda client, place: metamlflow.migrate(client.storage_uri, place),
    "a repair": lambda client, place: client.repair("a", place),
}


@pytest.mark.parametrize("use", TOO_LONG.values(), ids=TOO_LONG)
@pytest.mark.parametrize("place", ["n" * 300, "n/" * 2500], ids=["name", "path"])
def test_names_and_paths_that_no_disk_takes_are_refused(client, artifact, tmp_path, use, place):
    with pytest.raises(MetaMLFlowError) as caught:
        use(client, tmp_path / place)
    assert caught.value.hint


def look_into_cache(place, home):
    """Runs as nobody."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    if home:
        os.environ["HOME"] = home
    return MetaMLFlowClient(place).get_artifact("a").local_path()


@pytest.mark.parametrize("home", ["/root", "/nonexistent/home", "/proc"])
def test_a_home_that_takes_no_cache_is_told_with_the_variable(open_folder, as_nobody, home):
    MetaMLFlowClient(open_folder / "store").register_artifact("a", b"1")
    with pytest.raises(AccessDeniedError, match="METAMLFLOW_CACHE_DIR"):
        as_nobody(look_into_cache, open_folder / "store", home)


@pytest.mark.parametrize(
    "use",
    [
        lambda client: MetaMLFlowClient("~/store"),
        lambda client: client.register_pointer("a", "~/x"),
        lambda client: MetaMLFlowClient(client.storage_uri, cache_dir=Path("~/cache")),
        lambda client: client.register_artifact("b", "~/x"),
        lambda client: client.register_artifact("b", {"x": "file://~/x"}),
        lambda client: client.register_artifact("b", b"1").download("~/out"),
        lambda client: client.repair("b", "~/copy"),
    ],
)
def test_a_tilde_without_a_home_makes_no_folder_of_that_name(client, monkeypatch, tmp_path, use):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user whom the system does not know
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="home folder"):
        use(client)
    assert not (tmp_path / "~").exists()


# --- each reason that a disk gives ------------------------------------------------------------------------------------

REASONS = {
    "EIO": (StorageUnavailableError, StorageUnavailableError),
    "ESTALE": (StorageUnavailableError, StorageUnavailableError),
    "ENFILE": (StorageUnavailableError, StorageUnavailableError),
    "EMFILE": (StorageUnavailableError, StorageUnavailableError),
    "ENOMEM": (StorageUnavailableError, StorageUnavailableError),
    "ELOOP": (StorageError, UnsupportedSourceError),
    "ENAMETOOLONG": (StorageError, UnsupportedSourceError),
    "EACCES": (AccessDeniedError, UnsupportedSourceError),
    "EROFS": (AccessDeniedError, UnsupportedSourceError),
    "ENOSPC": (StorageFullError, UnsupportedSourceError),
    "EDQUOT": (StorageFullError, UnsupportedSourceError),
}


@pytest.mark.parametrize("name", REASONS)
def test_each_reason_of_a_disk_has_an_error_and_a_remedy(name):
    code = getattr(errno, name)
    in_store, in_source = REASONS[name]
    with pytest.raises(in_store) as caught, translated_errors("/x"):
        raise OSError(code, os.strerror(code), "/x")
    told = source_error("/x", OSError(code, os.strerror(code), "/x"))
    assert type(told) is in_source
    assert caught.value.hint
    assert told.hint
    assert "/x" in told.message
