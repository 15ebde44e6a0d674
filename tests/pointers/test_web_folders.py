"""Pointers to what a web server lists: Python's own, which knows times and lengths and nothing else."""

from __future__ import annotations

import os
from functools import partial
from http.server import SimpleHTTPRequestHandler
from urllib.parse import quote

import pytest

from loopback import serving
from metamlflow import MetaMLFlowClient
from metamlflow.errors import PointerDriftError, SourceNotFoundError

pytest.importorskip("aiohttp")

NAMES = ["a b.csv", "größe.csv", "x#y.csv", "q?r.csv", "p%20q.csv", "plus+.csv", "amp&'.csv", "sub/z.csv", "zz"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class WithoutHead(Quiet):
    def do_HEAD(self):
        self.send_error(405)


@pytest.fixture
def client(store_folder, tmp_path):
    """A client that is allowed to ask servers of this machine."""
    return MetaMLFlowClient(store_folder, cache_dir=tmp_path / "cache", pointer_policy={"http://127.0.0.1:*/": "allow"})


@pytest.fixture(params=[Quiet, WithoutHead])
def url(request, folder):
    """A server's address, with a folder of files that have all sorts of names."""
    (folder / "dir/sub").mkdir(parents=True)
    for name in NAMES:
        (folder / "dir" / name).write_bytes(name.encode())
        os.utime(folder / "dir" / name, (1_700_000_000, 1_700_000_000))
    with serving(partial(request.param, directory=str(folder))) as url:
        yield url


def read_all(artifact):
    return {entry.path: artifact.read_bytes(entry.path) for entry in artifact.entries}


def test_what_a_page_lists_is_pointed_to_under_its_names(client, url):
    artifact = client.register_pointer("a", f"{url}/dir/")
    assert read_all(artifact) == {name: name.encode() for name in NAMES}
    assert {entry.uri for entry in artifact.entries} == {f"{url}/dir/{quote(name)}" for name in NAMES}
    assert artifact.pointed[0].kind == "prefix"
    assert artifact.verify("stat")
    assert artifact.strengthen().verify()
    assert client.register_pointer("b", f"{url}/dir/", if_unchanged="reuse").digest == artifact.digest


def test_a_glob_chooses_from_what_a_page_lists(client, url):
    artifact = client.register_pointer("a", f"{url}/dir/p*.csv")
    assert [entry.path for entry in artifact.entries] == ["p%20q.csv", "plus+.csv"]
    assert [entry.path for entry in client.register_pointer("b", f"{url}/dir/sub/*").entries] == ["z.csv"]
    with pytest.raises(SourceNotFoundError):
        client.register_pointer("c", f"{url}/dir/*.parquet")


def test_one_file_is_pointed_to_by_its_escaped_name(client, url):
    artifact = client.register_pointer("a", f"{url}/dir/a%20b.csv", evidence="full")
    assert read_all(artifact) == {"a b.csv": b"a b.csv"}


def test_changes_below_a_page_are_told_and_found(client, url, folder):
    artifact = client.register_pointer("a", f"{url}/dir/")
    (folder / "dir/sub/z.csv").write_bytes(b"longer than it was")
    (folder / "dir/plus+.csv").unlink()
    (folder / "dir/new").write_bytes(b"new")
    for path in ("sub/z.csv", "plus+.csv"):
        with pytest.raises(PointerDriftError):
            artifact.read_bytes(path)
    found = {finding.path: finding.status for finding in artifact.verify("stat").findings}
    assert found == {"sub/z.csv": "modified", "plus+.csv": "missing"}
    changes = artifact.refresh().changes
    assert (changes.added, changes.removed, changes.modified) == (["new"], ["plus+.csv"], ["sub/z.csv"])


def test_names_stand_in_their_own_order_whatever_their_escapes_sort_like(client, url, folder):
    names = ["gra", "größe", "grz", "[x]", "Z", "a b", "a!b"]
    (folder / "other").mkdir()
    for name in names:
        (folder / "other" / name).write_bytes(name.encode())
    artifact = client.register_pointer("a", f"{url}/other/")
    assert [entry.path for entry in artifact.entries] == sorted(names)
    assert artifact.verify("stat")
