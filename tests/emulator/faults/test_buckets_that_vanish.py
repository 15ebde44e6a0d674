"""A bucket that is emptied, or a store that is made anew in it, under a client: on each cloud, with each engine."""

from __future__ import annotations

import pytest
from clouds import Cloud
from forged import remove

from metamlflow.errors import ConflictError, StoreNotFoundError

pytestmark = pytest.mark.emulator

CALLS = {
    "next version": lambda client: client.register_artifact("model", b"second"),
    "new name": lambda client: client.register_artifact("new", {"a": b"1", "b": b"2"}),
    "alias": lambda client: client.set_alias("model", "production", 1),
    "idempotent": lambda client: client.register_artifact("model", b"second", idempotency_key="job"),
}


def empty(cloud: Cloud) -> None:
    for key in cloud.objects():
        remove(cloud, key)


def make_anew(cloud: Cloud) -> None:
    empty(cloud)
    cloud.direct().register_artifact("model", b"of somebody else")


LOSSES = {"emptied": (empty, StoreNotFoundError), "made anew": (make_anew, ConflictError)}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("lose", "kind"), LOSSES.values(), ids=LOSSES)
def test_nothing_is_acknowledged_into_a_bucket_that_holds_the_store_no_more(plain_cloud, lose, kind, call):
    client = plain_cloud.client()
    client.register_artifact("model", b"first")
    lose(plain_cloud)
    before = plain_cloud.objects()
    for _ in range(2):
        with pytest.raises(kind, match="opened"):
            call(client)
    assert plain_cloud.objects() == before


def test_a_recreated_name_is_read_as_it_is_now(plain_cloud):
    """Its manifest has the key and the size of the old one; only a tag tells, and not everywhere is it an MD5."""
    client = plain_cloud.client()
    client.register_artifact("model", b"old", metadata={"of": "old"})
    assert client.get_artifact("model").metadata == {"of": "old"}
    for key in [key for key in plain_cloud.objects() if key.startswith("artifacts/")]:
        remove(plain_cloud, key)
    plain_cloud.direct().register_artifact("model", b"new", metadata={"of": "new"})
    assert client.get_artifact("model").metadata == {"of": "new"}
    assert client.get_artifact("model").read_bytes() == b"new"
