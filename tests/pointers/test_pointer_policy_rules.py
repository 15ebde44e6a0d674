"""Rules of a pointer policy: the longest place that covers a URI decides, and no spelling evades it."""

from __future__ import annotations

import ast
import json
import re
import shlex

import pytest

from metamlflow.errors import InvalidInputError, PointerPolicyError
from metamlflow.store.catalog.pointer_policy import PointerPolicy

BUCKET, LOCAL = "s3://store/ml", "file:///data/store"


def allows(policy: PointerPolicy, uri: str) -> bool:
    try:
        policy.check(uri)
    except PointerPolicyError:
        return False
    return True


DEFAULT = [
    (BUCKET, "s3://any/key", True),
    (BUCKET, "s3a://any/key", True),
    (BUCKET, "gs://any/key", True),
    (BUCKET, "gcs://any/key", True),
    (BUCKET, "az://any/key", True),
    (BUCKET, "abfs://any/key", True),
    (BUCKET, "https://data.example.com/x", True),
    (BUCKET, "http://8.8.8.8/x", True),
    (BUCKET, "file:///x", False),
    (BUCKET, "FILE:///x", False),
    (BUCKET, "https://10.0.0.1/x", False),
    (BUCKET, "https://[::ffff:10.0.0.1]/x", False),
    (BUCKET, "https://\uff11\uff10.0.0.1/x", False),  # full-width digits
    (BUCKET, "https://%31%30.0.0.1/x", False),
    (BUCKET, "https://\u2460\u2461\u2466.0.0.1/x", False),  # digits in circles
    (BUCKET, "https:///x", False),
    (BUCKET, "https://[::1/x", False),
    (BUCKET, "ftp://data.example.com/x", False),
    (LOCAL, "file:///x", True),
    (LOCAL, "s3://any/key", True),
    (LOCAL, "local:///x", False),
    ("sftp://own/store", "sftp://own/x", True),
    ("sftp://own/store", "sftp://other/x", False),
    ("oss://own/store", "oss://other/x", True),
]
RULES = [
    ({"file:///data": "allow"}, BUCKET, "file:///data/x", True),
    ({"file:///data": "allow"}, BUCKET, "file:///data", True),
    ({"file:///data/": "allow"}, BUCKET, "file:///database/x", False),
    ({"file:///data/": "allow"}, BUCKET, "file:///data/../etc/passwd", False),
    ({"file:///data/": "allow"}, BUCKET, "file:///data/./x//y", True),
    ({"file": "allow"}, BUCKET, "file:///etc/passwd", True),
    ({"file://": "allow"}, BUCKET, "file:///etc/passwd", True),
    ({"file:///": "allow"}, BUCKET, "file:///etc/passwd", True),
    ({"file:///etc": "refuse"}, LOCAL, "file:///etc/passwd", False),
    ({"file:///etc": "refuse"}, LOCAL, "file:///proc/self/root/etc/hosts", False),
    ({"file:///etc": "refuse"}, LOCAL, "file:////etc/passwd", False),
    ({"file:///etc": "refuse"}, LOCAL, "file:///x", True),
    ({"s3": "refuse", "s3://lake": "allow"}, BUCKET, "s3://lake/x", True),
    ({"s3": "refuse", "s3://lake": "allow"}, BUCKET, "s3://lake-of-others/x", False),
    ({"s3": "refuse", "s3://lake": "allow"}, BUCKET, "s3a://lake/x", True),
    ({"s3a://lake/": "refuse"}, BUCKET, "s3://lake/x", False),
    ({"gcs": "refuse"}, BUCKET, "gs://lake/x", False),
    ({"*": "refuse", "s3://lake/a": "allow"}, BUCKET, "s3://lake/a/x", True),
    ({"*": "refuse", "s3://lake/a": "allow"}, BUCKET, "gs://lake/a/x", False),
    ({"*": "allow"}, BUCKET, "anything://x/y", True),
    ({"*": "allow"}, BUCKET, "http://127.0.0.1/x", False),
    ({"http": "allow"}, BUCKET, "http://127.0.0.1/x", False),
    ({"http://127.0.0.1/": "allow"}, BUCKET, "http://127.0.0.1/x", True),
    ({"http://127.0.0.1/": "allow"}, BUCKET, "http://127.0.0.1:80/x", True),
    ({"http://127.0.0.1/": "allow"}, BUCKET, "http://127.0.0.1:81/x", False),
    ({"http://127.0.0.1:*/": "allow"}, BUCKET, "http://127.0.0.1:81/x", True),
    ({"http://[::1]:*/": "allow"}, BUCKET, "http://[::1]:81/x", True),
    ({"http://[::1]:*/": "allow"}, BUCKET, "http://[::1]/x", True),
    ({"http://127.0.0.1:*/": "allow"}, BUCKET, "https://127.0.0.1:81/x", False),
    ({"https://10.0.0.1": "allow"}, BUCKET, "https://10.0.0.1.example.com/x", True),  # public, and by another rule
    ({"https://10.0.0.1/a": "allow"}, BUCKET, "https://10.0.0.1/b", False),
    ({"https://10.0.0.1/a": "allow"}, BUCKET, "https://10.0.0.1/a/../b", False),
    ({"https://10.0.0.1/a": "allow"}, BUCKET, "https://10.0.0.1/a/%2e%2E/b", False),
    ({"https://evil.example": "refuse"}, BUCKET, "https://evil.example/x", False),
    ({"https://evil.example": "refuse"}, BUCKET, "https://EVIL.example.:443/x", False),
    ({"https://evil.example": "refuse"}, BUCKET, "https://good.example/x", True),
    ({"https://b\u00fccher.example": "refuse"}, BUCKET, "https://xn--bcher-kva.example/x", False),
    ({"https://xn--bcher-kva.example": "refuse"}, BUCKET, "https://B\u00dcCHER.example/x", False),
]


@pytest.mark.parametrize(("store", "uri", "allowed"), DEFAULT)
def test_without_rules_buckets_and_the_public_web_are_opened_and_files_for_local_stores(store, uri, allowed):
    assert allows(PointerPolicy.parse(store, None), uri) is allowed


@pytest.mark.parametrize(("rules", "store", "uri", "allowed"), RULES)
def test_the_longest_place_that_covers_a_uri_decides(rules, store, uri, allowed):
    assert allows(PointerPolicy.parse(store, rules), uri) is allowed


def test_a_link_out_of_an_allowed_folder_leads_nowhere(tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/out").symlink_to(tmp_path)
    (tmp_path / "alias").symlink_to(tmp_path / "lake")
    policy = PointerPolicy.parse(BUCKET, {f"file://{tmp_path}/alias": "allow"})
    assert allows(policy, f"file://{tmp_path}/lake/x")
    assert allows(policy, f"file://{tmp_path}/alias/x")
    assert not allows(policy, f"file://{tmp_path}/lake/out/x")


def test_a_rule_names_a_host_and_not_a_scheme():
    policy = PointerPolicy.parse(BUCKET, {"http": "allow", "https://data.example.com/a": "allow"})
    assert not policy.names_host("http://data.example.com/a")
    assert policy.names_host("https://data.example.com/a/b")
    assert not policy.names_host("https://data.example.com/b")


REFUSED = [
    "file:///data/x.csv",
    "file:///x.csv",
    "file:///data/o'brien/x.csv",
    'file:///data/5" disks/x.csv',
    "hdfs:///data/x.csv",
    "hdfs://node:8020/data/x.csv",
    "dbfs:///x",
    "memory:///a/b",
    "sftp://host/x",
    "github://owner:repository@main/x",
    "http://127.0.0.1:9/a/x",
    "http://[::1]:9/x",
]


@pytest.mark.parametrize("uri", REFUSED)
def test_what_a_refusal_says_to_write_allows_it(uri):
    with pytest.raises(PointerPolicyError) as caught:
        PointerPolicy.parse(BUCKET, None).check(uri)
    python, shell = re.search(
        r"pointer_policy=(.*)\), or METAMLFLOW_POINTER_POLICY=(.*) in the", str(caught.value)
    ).groups()
    for rules in (ast.literal_eval(python), json.loads(shlex.split(shell)[0])):
        assert allows(PointerPolicy.parse(BUCKET, rules), uri)
        assert not allows(PointerPolicy.parse(BUCKET, rules), "unknown://x/y")


@pytest.mark.parametrize(
    "rules",
    [
        {"/data": "refuse"},
        {"file:/data": "refuse"},
        {"C:\\data": "refuse"},
        {"https://*.example.com/": "refuse"},
        {"s3://lake-*": "refuse"},
        {"https://host:port/": "allow"},
        {"https:///x": "allow"},
        {"s3": "allow", "s3a": "refuse"},
        {"https://a.example": "allow", "https://A.example:443/": "refuse"},
    ],
)
def test_a_rule_that_would_decide_nothing_is_refused(rules):
    with pytest.raises(InvalidInputError, match="pointer_policy maps places"):
        PointerPolicy.parse(BUCKET, rules)
