"""The identity of a store is its id: not its URL, and not the way to it."""

from __future__ import annotations

import os

import pytest
from proxy_faults import Refuse, Rule

from metamlflow import MetaMLFlowClient, compare, migrate
from metamlflow.errors import InvalidInputError, LineageWarning

pytestmark = pytest.mark.emulator

MIB = 1024 * 1024


def test_two_servers_may_have_a_bucket_of_one_name(moto_server, localstack_server):
    bucket = moto_server.fresh_name()
    for server in (moto_server, localstack_server):
        server.raw().create_bucket(Bucket=bucket)
    ends = [
        MetaMLFlowClient(f"s3://{bucket}/ml", storage_options=server.storage_options)
        for server in (moto_server, localstack_server)
    ]
    ends[0].register_artifact("a", {"x": b"1", "large": os.urandom(2 * MIB)})
    report = migrate(*ends, server_side=True)
    assert report, report.to_json()
    assert len(report.notes) == 1
    assert "passed through this machine" in report.notes[0]
    assert compare(*ends, full=True) == []


def test_a_store_below_a_prefix_of_the_same_name_elsewhere_is_not_within_it(moto_server, localstack_server):
    bucket = moto_server.fresh_name()
    for server in (moto_server, localstack_server):
        server.raw().create_bucket(Bucket=bucket)
    source = MetaMLFlowClient(f"s3://{bucket}/ml", storage_options=moto_server.storage_options)
    source.register_artifact("a", b"1")
    there = MetaMLFlowClient(f"s3://{bucket}/ml/inner", storage_options=localstack_server.storage_options)
    assert migrate(source, there)
    here = MetaMLFlowClient(f"s3://{bucket}/ml/inner", storage_options=moto_server.storage_options)
    with pytest.raises(InvalidInputError, match="lies within"):
        migrate(source, here)


def test_two_ways_to_one_store_are_one(moto_server, gcs_server, fault_proxy):
    for server, schemes in ((moto_server, ("s3", "s3")), (gcs_server, ("gs", "gcs"))):
        bucket = server.new_bucket()
        source = MetaMLFlowClient(f"{schemes[0]}://{bucket}/ml", storage_options=server.storage_options)
        source.register_artifact("a", b"1")
        other_way = server.through(fault_proxy(server).url).storage_options
        for options in (server.storage_options, other_way):
            with pytest.raises(InvalidInputError, match="the same store"):
                migrate(source, MetaMLFlowClient(f"{schemes[1]}://{bucket}/ml/", storage_options=options))


@pytest.fixture
def twins(moto_server, localstack_server, fault_proxy):
    """Clients on two stores with one URL, at two servers, and of the second one through another way to it."""
    bucket = moto_server.fresh_name()
    for server in (moto_server, localstack_server):
        server.raw().create_bucket(Bucket=bucket)
    ways = moto_server, localstack_server, localstack_server.through(fault_proxy(localstack_server).url)
    return [MetaMLFlowClient(f"s3://{bucket}/ml", storage_options=server.storage_options) for server in ways]


def test_a_version_at_another_server_is_no_input_though_the_urls_are_the_same(twins):
    here, there, _ = twins
    here.register_artifact("table", b"1")
    foreign = there.register_artifact("table", b"2")
    for use in (lambda: here.register_artifact("made", b"3", inputs=[foreign]), lambda: here.lineage(foreign)):
        with pytest.raises(InvalidInputError, match="is in another store"):
            use()
    with here.run("job") as run:
        assert there.get_artifact("table").read_bytes() == b"2"
        with pytest.warns(LineageWarning, match="is in another store"):
            run.use(foreign)
        assert here.register_artifact("made", b"4").inputs == ()


def test_a_version_that_was_got_in_another_way_is_an_input(twins):
    _, there, other_way = twins
    there.register_artifact("table", b"2")
    assert there.register_artifact("made", b"3", inputs=other_way.get_artifact("table")).inputs[0].name == "table"
    with there.run("job"):
        other_way.get_artifact("table").read_bytes()
        assert [used.name for used in there.register_artifact("made", b"4").inputs] == ["table"]


def test_a_store_of_the_same_url_at_another_server_repairs_this_one(twins, moto_server):
    here, there, _ = twins
    artifact = here.register_artifact("table", b"1")
    migrate(here, there)
    bucket, _, key = artifact.storage_path.removeprefix("s3://").partition("/")
    moto_server.raw().delete_object(Bucket=bucket, Key=key)
    with pytest.raises(InvalidInputError, match="damaged store itself"):
        here.repair("table", here)
    assert not artifact.verify()
    assert here.repair("table", there)
    assert artifact.verify()


REFUSALS = {
    "denied": Refuse(403, "AccessDenied", "Access Denied"),
    "unknown": Refuse(501, "NotImplemented", "A header you provided implies functionality that is not implemented."),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_where_the_server_refuses_to_copy_the_bytes_pass_through_here(request, fault_proxy, kind, refusal):
    server = request.getfixturevalue("gcs_server" if kind == "gcs" else "moto_server")
    proxy = fault_proxy(server)
    scheme = "gs" if kind == "gcs" else "s3"
    ends = [
        MetaMLFlowClient(
            f"{scheme}://{server.new_bucket()}/ml", storage_options=server.through(proxy.url).storage_options
        )
        for _ in range(2)
    ]
    files = {f"large-{number}": os.urandom(2 * MIB) for number in range(3)}
    ends[0].register_artifact("a", files)
    proxy.add(Rule(refusal, op="objects.rewrite", times=None), Rule(refusal, op="CopyObject", times=None))
    report = migrate(*ends, server_side=True)
    assert report, report.to_json()
    assert report.totals["objects"] == 3
    [note] = {note.partition(":")[0] for note in report.notes}
    assert note == "the server refused to copy, so content passed through this machine"
    assert compare(*ends, full=True) == []
    assert report.notes[0] in report.to_markdown().replace("\\", "")
