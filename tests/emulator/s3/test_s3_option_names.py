"""A misspelt option is refused before anything is stored, and the message says what may have been meant."""

from __future__ import annotations

import botocore.session
import pytest
from fsspec.config import conf

from metamlflow import MetaMLFlowClient
from metamlflow.errors import InvalidInputError
from metamlflow_s3 import open_backend, option_names
from metamlflow_s3.lake import open_lake

MISSPELT = {
    "ServerSideEncrypton": ({"s3_additional_kwargs": {"ServerSideEncrypton": "aws:kms"}}, "ServerSideEncryption"),
    "lower case": ({"s3_additional_kwargs": {"serversideencryption": "AES256"}}, "ServerSideEncryption"),
    "SSEKmsKeyID": ({"s3_additional_kwargs": {"SSEKmsKeyID": "a"}}, "SSEKMSKeyId"),
    "of another request": ({"s3_additional_kwargs": {"VersionId": "1"}}, "VersionId"),
    "said by the library": ({"s3_additional_kwargs": {"ChecksumAlgorithm": "SHA1"}}, "the library says it"),
    "config": ({"config_kwargs": {"conect_timeout": 1}}, "connect_timeout"),
    "config of s3": ({"config_kwargs": {"s3": {"adressing_style": "path"}}}, "addressing_style"),
    "client": ({"client_kwargs": {"verfy": "/ca.pem"}}, "verify"),
    "top": ({"s3_aditional_kwargs": {"ServerSideEncryption": "AES256"}}, "s3_additional_kwargs"),
}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_option_is_refused_with_what_may_have_been_meant(moto_root, name):
    given, meant = MISSPELT[name]
    options = {**moto_root.options, **given}
    for open_it in (lambda: open_backend(moto_root.url, options), lambda: open_lake("s3://bucket", options)):
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
