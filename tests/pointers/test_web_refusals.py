"""What a web server refuses for good is told as that; only what may pass is told to be tried again."""

from __future__ import annotations

import pytest
from test_web_pointers import KINDS, LOOPBACK, Site, served

from metamlflow import MetaMLFlowClient
from metamlflow.errors import AccessDeniedError, StorageError, StorageUnavailableError

pytest.importorskip("aiohttp")

CALLS = {
    "register": lambda client, url: client.register_pointer("new", f"{url}/x"),
    "copy": lambda client, url: client.register_artifact("new", f"{url}/x"),
    "read": lambda client, url: client.get_artifact("known").read_bytes(),
    "download": lambda client, url: client.get_artifact("known").download("out"),
}


@pytest.fixture
def site():
    site = Site(knows=KINDS["with all"])
    site.files["/x"] = b"four"
    return site


@pytest.fixture
def refused_by(site, store_folder, tmp_path, monkeypatch):
    """Make a call of a server that refuses; return the error."""
    monkeypatch.chdir(tmp_path)

    def make(call, status) -> StorageError:
        with served(site) as url:
            client = MetaMLFlowClient(store_folder, pointer_policy=LOOPBACK)
            client.register_pointer("known", f"{url}/x")
            site.status["/x"] = status
            with pytest.raises(StorageError) as caught:
                call(client, url)
        return caught.value

    return make


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("status", [400, 405, 414, 451, 501, 505])
def test_a_definite_refusal_of_a_web_server_is_not_told_to_be_tried_again(refused_by, call, status):
    error = refused_by(call, status)
    assert not isinstance(error, StorageUnavailableError)
    assert str(status) in error.message
    assert "again" not in str(error).lower()
    assert "None" not in str(error)


@pytest.mark.full
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("status", [408, 423, 429, 500, 503, 504])
def test_what_may_pass_is_told_to_be_tried_again(refused_by, call, status):
    error = refused_by(call, status)
    assert isinstance(error, StorageUnavailableError)
    assert "Try again" in error.hint


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_read_is_not_told_that_nothing_is_there(refused_by, call, status):
    error = refused_by(call, status)
    assert isinstance(error, AccessDeniedError)
    assert "source_options" in error.hint


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_server_that_nobody_reaches_is_not_told_as_nothing_there(site, store_folder, tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    client = MetaMLFlowClient(store_folder, pointer_policy=LOOPBACK)
    with served(site) as url:
        client.register_pointer("known", f"{url}/x")
    with pytest.raises(StorageUnavailableError, match="cannot be reached"):
        call(client, url)
