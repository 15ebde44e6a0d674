"""A server that creates what exists is refused before a version is lost, from the start or from the day it forgets."""

from __future__ import annotations

import pytest
from clouds import IMPATIENT, Cloud
from proxy_faults import Rule, StripConditions

from metamlflow.errors import UnsupportedStoreError

pytestmark = pytest.mark.emulator


def test_it_is_refused_at_initialisation_and_the_marker_is_all_that_is_left(plain_cloud: Cloud):
    plain_cloud.proxy.add(Rule(StripConditions(), times=None))
    for _ in range(2):
        with pytest.raises(UnsupportedStoreError) as caught:
            plain_cloud.client(IMPATIENT).register_artifact("model", b"content")
        assert "conditional writes" in caught.value.hint
    assert list(plain_cloud.objects()) == ["metamlflow.json"]
    # The marker is a sound one: where conditions are honoured, the store goes on from it.
    assert plain_cloud.direct().register_artifact("model", b"content").version == 1


def test_a_new_client_s_first_write_is_refused_when_a_store_s_server_forgets_later(plain_cloud: Cloud):
    plain_cloud.direct().register_artifact("model", {"weights": b"first"})
    before = plain_cloud.objects()
    plain_cloud.proxy.add(Rule(StripConditions(), times=None))
    client = plain_cloud.client(IMPATIENT)
    with pytest.raises(UnsupportedStoreError):
        client.register_artifact("model", b"second")
    assert plain_cloud.objects() == before
    assert client.get_artifact("model").read_bytes("weights") == b"first", "reading works as before"


def test_a_client_that_was_there_before_still_numbers_rightly_while_it_writes_alone(plain_cloud: Cloud):
    """It asked once, before its first claim: against others it is safe again when it is opened anew."""
    client = plain_cloud.client(IMPATIENT)
    client.register_artifact("model", {"weights": b"first"})
    plain_cloud.proxy.add(Rule(StripConditions(), times=None))
    assert client.register_artifact("model", {"weights": b"second"}).version == 2
    assert plain_cloud.versions() == {1: {"weights": b"first"}, 2: {"weights": b"second"}}


def test_every_write_names_its_condition(plain_cloud: Cloud):
    plain_cloud.client(IMPATIENT).register_artifact("model", {"small": b"content", "large": bytes(9 << 20)})
    conditional = {plain_cloud.words.put, plain_cloud.words.large[0], plain_cloud.words.large[-1]}
    unconditional = {"CreateMultipartUpload", "UploadPart", "resumable.upload"}
    sent = [request for request in plain_cloud.proxy.log if request.op in conditional - unconditional]
    assert len(sent) >= 5
    without = [r for r in sent if "ifGenerationMatch=0" not in r.target and r.headers.get("if-none-match") != "*"]
    assert without == []
