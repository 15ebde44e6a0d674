"""Registering what fsspec opens: other schemes, archives, HTTP; and the errors of other people's code."""

from __future__ import annotations

import traceback
import zipfile
from http.server import SimpleHTTPRequestHandler
from uuid import uuid4

import fsspec
import pytest
from fsspec.registry import known_implementations

from loopback import serving
from metamlflow.errors import (
    AccessDeniedError,
    InvalidPathError,
    MissingDependencyError,
    SourceChangedError,
    SourceNotFoundError,
    StorageUnavailableError,
    UnsupportedSourceError,
)


def paths(artifact):
    return [entry.path for entry in artifact.entries]


@pytest.fixture
def memory():
    """An empty folder of fsspec's memory file system."""
    root = f"/{uuid4().hex}"
    filesystem = fsspec.filesystem("memory")
    yield lambda path, data: filesystem.pipe_file(f"{root}/{path}", data) or f"memory:/{root}"
    filesystem.rm(root, recursive=True)


@pytest.fixture
def archive(folder):
    with zipfile.ZipFile(folder / "a.zip", "w") as out:
        out.writestr("one.txt", "1")
        out.writestr("sub/two.txt", "2" * 2_000_000)
    return folder / "a.zip"


def served(answer):
    """An HTTP server on the loopback that answers with ``answer(handler)``."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        do_HEAD = do_GET  # noqa: N815 (the server asks for this name)

        def log_message(self, *_):
            pass

    return serving(Handler)


def content(data, *, length):
    """An answer with content of a length that the server states."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(data)

    return answer


def test_a_file_elsewhere_keeps_its_name(client, memory):
    url = memory("t.csv", b"a\n1\n")
    artifact = client.register_artifact("a", f"{url}/t.csv")
    assert paths(artifact) == ["t.csv"]
    assert artifact.read_bytes() == b"a\n1\n"


def test_a_folder_elsewhere_keeps_its_paths(client, memory):
    for path in ("b/c", "a", "b-c", "b/d/e"):
        url = memory(path, path.encode())
    for source in (url, f"{url}/"):
        artifact = client.register_artifact("a", source)
        assert paths(artifact) == ["a", "b-c", "b/c", "b/d/e"]
    assert artifact.read_bytes("b/d/e") == b"b/d/e"


def test_a_list_may_mix_here_and_elsewhere(client, memory, folder, archive):
    (folder / "x").write_bytes(b"1")
    url = memory("dir/y", b"2")
    sources = [folder / "x", f"{url}/dir/y", f"{url}/dir", f"zip://sub/two.txt::{archive}", f"zip://sub::{archive}"]
    artifact = client.register_artifact("a", sources)
    assert paths(artifact) == ["dir/y", "sub/two.txt", "two.txt", "x", "y"]


def test_bad_names_elsewhere_are_refused(client, memory):
    memory("good", b"1")
    url = memory("bad\nname", b"1")
    with pytest.raises(InvalidPathError, match="control character"):
        client.register_artifact("a", url)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [("", ["one.txt", "sub/two.txt"]), ("sub", ["two.txt"]), ("sub/two.txt", ["two.txt"]), ("one.txt", ["one.txt"])],
)
def test_an_archive_is_opened_where_the_url_says(client, archive, inside, expected):
    artifact = client.register_artifact("a", f"zip://{inside}::file://{archive}")
    assert paths(artifact) == expected
    assert artifact.verify()


def test_a_local_url_of_another_spelling_works(client, folder):
    (folder / "x").write_bytes(b"1")
    assert client.register_artifact("a", f"local://{folder}/x").read_bytes() == b"1"


@pytest.mark.parametrize("url", ["memory://no/such/thing", "zip://nope::{archive}", "zip://x::{archive}.not"])
def test_a_url_with_nothing_at_it_is_an_error_that_names_it(client, archive, url):
    url = url.format(archive=archive)
    with pytest.raises(SourceNotFoundError) as caught:
        client.register_artifact("a", url)
    assert caught.value.source == url


def test_a_scheme_that_nobody_knows_is_an_error_that_says_so(client):
    with pytest.raises(UnsupportedSourceError, match="Protocol not known: carrier-pigeon"):
        client.register_artifact("a", "carrier-pigeon://loft/3")


def test_a_scheme_whose_package_is_missing_says_which(client, monkeypatch):
    monkeypatch.setitem(known_implementations, "pigeon", {"class": "pigeons.Loft", "err": "get pigeons"})
    with pytest.raises(MissingDependencyError, match="get pigeons"):
        client.register_artifact("a", "pigeon://loft")


def test_an_archive_that_is_none_is_an_error_of_ours(client, folder):
    (folder / "bad.zip").write_bytes(b"no archive")
    with pytest.raises(UnsupportedSourceError, match="not a zip file"):
        client.register_artifact("a", f"zip://x::{folder}/bad.zip")


def test_a_damaged_archive_is_an_error_of_ours_and_registers_nothing(client, archive, raw):
    data = bytearray(archive.read_bytes())
    data[1_000_000] ^= 1
    archive.write_bytes(data)
    with pytest.raises(UnsupportedSourceError, match="Bad CRC-32"):
        client.register_artifact("a", f"zip://sub::{archive}")
    assert raw.manifests() == []


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tell_size(monkeypatch):
    """Make the memory file system tell this size of everything."""
    kind = type(fsspec.filesystem("memory"))
    honest = kind.info
    return lambda size: monkeypatch.setattr(kind, "info", lambda *given: {**honest(*given), "size": size})


@pytest.mark.parametrize("size", [None, -1, "4", 4])
def test_a_size_that_is_no_size_is_not_compared(client, memory, tell_size, size):
    url = memory("t.csv", b"four")
    tell_size(size)
    assert client.register_artifact("a", f"{url}/t.csv").read_bytes() == b"four"


@pytest.mark.parametrize("size", [0, 3, 5])
def test_another_size_than_was_told_is_told_as_a_change(client, raw, memory, tell_size, size):
    url = memory("t.csv", b"four")
    tell_size(size)
    with pytest.raises(SourceChangedError, match=f"it had {size} bytes, and 4 were read"):
        client.register_artifact("a", f"{url}/t.csv")
    assert raw.manifests() == []


# --- HTTP -------------------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_over_http_and_no_part_of_a_signature_is_kept(client, raw):
    pytest.importorskip("aiohttp")
    with served(content(b"a\n1\n\n", length=5)) as url:
        one = client.register_artifact("a", f"{url}/dir/t.csv?sig=HU/SH")
        two = client.register_artifact("b", [f"{url}/t.csv?sig=HU/SH"])
    assert paths(one) == paths(two) == ["t.csv"]
    assert one.read_bytes() == b"a\n1\n\n"
    assert not any(b"SH" in path.read_bytes() for path in raw.root.rglob("*.json"))


@pytest.mark.parametrize(
    ("status", "kind"), [(403, AccessDeniedError), (404, SourceNotFoundError), (500, StorageUnavailableError)]
)
def test_a_server_that_refuses_is_an_error_that_shows_no_signature(client, raw, status, kind):
    pytest.importorskip("aiohttp")
    with (
        served(lambda handler: handler.send_error(status)) as url,
        pytest.raises(kind) as caught,
    ):
        client.register_artifact("a", f"{url.replace('//', '//user:HUSH@')}/t.csv?sig=HUSH")
    assert "HUSH" not in str(caught.value)
    assert raw.manifests() == []


def test_a_transfer_that_breaks_off_registers_nothing(client, raw):
    pytest.importorskip("aiohttp")
    with served(content(b"x" * 1000, length=500_000)) as url, pytest.raises(UnsupportedSourceError) as caught:
        client.register_artifact("a", f"{url}/t.csv?sig=HUSH")
    assert "HUSH" not in str(caught.value)
    assert "HUSH" not in caught.value.message
    assert traceback.format_exception(caught.value)
    assert raw.manifests() == []
