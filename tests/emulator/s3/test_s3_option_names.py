"""A misspelt option is refused before anything is stored, and the message says what may have been meant."""

from __future__ import annotations

import botocore.session
import pytest
from fsspec.config import conf

from metamlflow import MetaMLFlowClient
from metamlflow.errors import InvalidInputError
from metamlflow_s3 import open_backend, option_names
from metamlflow_s3.external import open_external

MISSPELT = {
    "ServerSideEncrypton": ({"s3_additional_kwargs": {"ServerSideEncrypton": "aws:kms"}}, "ServerSideEncryption"),
    "lower case": ({"s3_additional_kwargs": {"serversideencryption": "AES256"}}, "ServerSideEncryption"),
    "SSEKmsKeyID": ({"s3_additional_kwargs": {"SSEKmsKeyID": "a"}}, "SSEKMSKeyId"),
    "of another request": ({"s3_additional_kwargs": {"VersionId": "1"}}, "VersionId"),
    "said by the library": ({"s3_additional_kwargs": {"ChecksumAlgorithm": "SHA1"}}, "the library says it"),
    "config": ({"config_kwargs": {"conect_timeout": 1}}, "connect_timeout"),
    "config of s3": ({"config_kwargs": {"s3": {"adressing_style": "path"}}}, "addressing_style"),
    "client": ({"client_kwargs": {"verfy": "/ca.pem"}}, "verify"),
    "scheme of a proxy": ({"config_kwargs": {"proxies": {"htttps": "http://127.0.0.1:9"}}}, "'https'"),
    "trust of a proxy": ({"config_kwargs": {"proxies_config": {"proxy_ca_bundel": "/ca.pem"}}}, "proxy_ca_bundle"),
    "retries": ({"config_kwargs": {"retries": {"max_attemps": 3}}}, "max_attempts"),
    "top": ({"s3_aditional_kwargs": {"ServerSideEncryption": "AES256"}}, "s3_additional_kwargs"),
}


def s3(**given):
    return {"s3_additional_kwargs": given}


def config(**given):
    return {"config_kwargs": given}


# Each was dropped, taken for its opposite, taken by one engine alone, or a raw error of a library.
WRONG_VALUES = {
    "a text that says no": ({"anon": "False"}, "anon is 'False', which would count as true"),
    "another": ({"requester_pays": "no"}, "requester_pays"),
    "a bucket key in words": (s3(ServerSideEncryption="aws:kms", BucketKeyEnabled="yes"), "BucketKeyEnabled"),
    "an empty encryption": (s3(ServerSideEncryption=""), "ServerSideEncryption is empty"),
    "a key alone": (s3(SSEKMSKeyId="a"), "aws:kms beside it"),
    "a customer's key alone": (s3(SSECustomerKey="a"), "SSECustomerAlgorithm beside it"),
    "checksums": (config(request_checksum_calculation="when_require"), "when_required"),
    "seconds in words": (config(connect_timeout="5"), "connect_timeout is '5'"),
    "no seconds": (config(read_timeout=-5), "read_timeout is -5"),
    "a style alone": (config(s3="path"), "not a mapping"),
    "a proxy alone": (config(proxies="http://127.0.0.1:9"), "not a mapping"),
    "a key without a secret": ({"secret": None}, "a key without its secret"),
    "a key as a number": ({"key": 5}, "key is a int, not a text"),
    "certificates that are not there": ({"client_kwargs": {"verify": "/nowhere/ca.pem"}}, "do not exist"),
    "an endpoint without a host": ({"endpoint_url": "http://"}, "names no host"),
    "an endpoint with a query": ({"endpoint_url": "http://127.0.0.1:9?a=b"}, "a query or a fragment"),
    "an endpoint with a user": ({"endpoint_url": "http://me:hidden@127.0.0.1:9"}, "carries a user"),
    "an endpoint without a port": ({"endpoint_url": "http://127.0.0.1:x"}, "is not a URL"),
}


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_a_value_that_would_not_mean_what_it_says_is_refused(moto_root, name):
    given, told = WRONG_VALUES[name]
    options = {**moto_root.options, **given}
    for open_it in (lambda: open_backend(moto_root.url, options), lambda: open_external("s3://bucket", options)):
        with pytest.raises(InvalidInputError) as caught:
            open_it()
        assert told in str(caught.value)
        assert "hidden" not in str(caught.value)
    assert moto_root.keys() == []


@pytest.mark.parametrize("given", [{"use_ssl": "true"}, {"requester_pays": 1}, {"use_listings_cache": False}], ids=str)
def test_a_switch_that_counts_as_what_it_says_is_taken(moto_root, given):
    moto_root.open(**given).create("a", b"1")
    assert moto_root.read("a") == b"1"


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_option_is_refused_with_what_may_have_been_meant(moto_root, name):
    given, meant = MISSPELT[name]
    options = {**moto_root.options, **given}
    for open_it in (lambda: open_backend(moto_root.url, options), lambda: open_external("s3://bucket", options)):
        with pytest.raises(InvalidInputError) as caught:
            open_it()
        assert meant in str(caught.value)
    with pytest.raises(InvalidInputError):
        MetaMLFlowClient(moto_root.url, storage_options=options).register_artifact("a", b"in clear")
    assert moto_root.keys() == []


def test_a_misspelt_option_of_fsspecs_configuration_is_refused_too(moto_root, monkeypatch):
    monkeypatch.setitem(conf, "s3", {"s3_additional_kwargs": {"ServerSideEncrypton": "aws:kms"}})
    with pytest.raises(InvalidInputError, match="did you mean 'ServerSideEncryption'"):
        moto_root.open()


def test_every_known_name_is_one_of_both_requests_that_store():
    model = botocore.session.get_session().get_service_model("s3")
    for request in ("PutObject", "CreateMultipartUpload"):
        assert set(model.operation_model(request).input_shape.members) >= option_names._STORING
    assert set(model.operation_model("CopyObject").input_shape.members) >= option_names._COPYING


def test_a_name_that_only_a_later_botocore_knows_is_taken(moto_root, monkeypatch):
    monkeypatch.setattr(option_names, "_STORING", option_names._STORING - {"StorageClass"})
    moto_root.open(s3_additional_kwargs={"StorageClass": "STANDARD_IA"}).create("a", b"1")
    assert moto_root.head("a")["StorageClass"] == "STANDARD_IA"
