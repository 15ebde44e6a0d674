"""Features of a store in a bucket: how many requests a look takes, and credentials that may not look."""

from __future__ import annotations

from collections import Counter
from urllib.parse import unquote

import pytest
from clouds import Cloud, writes
from proxy_faults import ACCESS_DENIED, Request, Rule

from feature_lists import key_of, list_of
from metamlflow import migrate
from metamlflow.errors import AccessDeniedError, StoreFormatError

pytestmark = pytest.mark.emulator


def is_look(request: Request) -> bool:
    return "/features/" in unquote(request.target)


def looks(cloud: Cloud) -> Counter[str]:
    return Counter(request.op for request in cloud.proxy.log if is_look(request))


@pytest.fixture
def filled(plain_cloud: Cloud) -> Cloud:
    plain_cloud.direct().register_artifact("model", b"1")
    plain_cloud.proxy.reset()
    return plain_cloud


def turn_on(cloud: Cloud, number: int, **features: tuple[str, ...]) -> None:
    """Create a list as another program does."""
    cloud.direct()._store.backend.create(key_of(number), list_of(**features))


def test_a_client_looks_once_and_reads_no_list_where_there_is_none(filled: Cloud):
    client = filled.client()
    client.get_artifact("model")
    client.register_artifact("model", b"2")
    client.register_artifact("other", b"2")
    client.list_names()
    assert looks(filled) == {filled.words.list: 1}


def test_a_list_takes_one_read_more_however_many_there_are(filled: Cloud):
    for number in range(1, 5):
        turn_on(filled, number)
    filled.proxy.reset()
    filled.client().get_artifact("model")
    assert looks(filled) == {filled.words.list: 1, filled.words.get: 1}


@pytest.mark.parametrize("need", ["read", "write"])
def test_a_store_with_an_unknown_feature_is_left_as_it_is(filled: Cloud, need, tmp_path):
    turn_on(filled, 1)
    turn_on(filled, 2, **{need: ("time-travel",)})
    filled.proxy.reset()
    before = filled.objects()
    client, file = filled.client(), tmp_path / "file"
    file.write_bytes(b"1")
    if need == "write":
        assert client.get_artifact("model").read_bytes() == b"1"
    for call in (
        lambda: client.register_artifact("model", b"2"),
        lambda: client.set_alias("model", "best", 1),
        lambda: client.repair("model@1", file),
        lambda: migrate(client, tmp_path / "there"),
    ):
        with pytest.raises(StoreFormatError, match="time-travel"):
            call()
    assert filled.objects() == before
    assert [request for request in filled.proxy.log if writes(request)] == [], "not even the probe"
    assert not (tmp_path / "there").exists()


def test_who_may_get_and_not_list_the_features_is_told_what_is_missing(filled: Cloud):
    before = filled.objects()
    filled.proxy.add(Rule(ACCESS_DENIED, when=is_look, times=None))
    for call in (
        lambda: filled.client().get_artifact("model"),
        lambda: filled.client().list_names(),
        lambda: filled.client().register_artifact("model", b"2"),
    ):
        with pytest.raises(AccessDeniedError) as caught:
            call()
        assert "Whoever opens a store lists features/" in caught.value.hint
    assert filled.objects() == before
