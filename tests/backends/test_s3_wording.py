"""Failures of S3 are told without the secrets of the options, and can still be read."""

from __future__ import annotations

import logging

import pytest

from metamlflow.errors import StorageError
from metamlflow_s3.fast import FastEngine
from metamlflow_s3.logs import hide_in_logs
from metamlflow_s3.wording import Wording


@pytest.mark.parametrize(
    ("options", "said", "told"),
    [
        ({"secret": "test"}, "no s3://b/aliases/latest", "no s3://b/aliases/latest"),
        ({"secret": "test"}, "'test' is wrong", "'…' is wrong"),
        ({"secret": "wJalrXUtnFEMI"}, "xwJalrXUtnFEMIx", "x…x"),
        ({"client_kwargs": {"aws_session_token": "testtoken"}}, "atesttokenb", "a…b"),
        ({"password": "late"}, "latest is late", "latest is …"),
        ({}, "a\r\x1b[31mred", "a\\r\\x1b[31mred"),
    ],
)
def test_a_short_secret_is_hidden_as_a_word_and_a_long_one_everywhere(options, said, told):
    error = Wording("s3://b", options).placed("s3://b/latest", StorageError(said))
    assert error.message == f"s3://b/latest: {told}"


def test_a_line_of_a_log_stays_readable_with_a_short_secret(caplog):
    hide_in_logs(["tist"])
    with caplog.at_level(logging.DEBUG, "s3fs"):
        logging.getLogger("s3fs").debug("CALL: %s", "artist tist")
    assert caplog.messages == ["CALL: artist …"]


def test_what_the_fast_engine_logs_of_a_failure_shows_no_password_of_its_address_and_drives_no_terminal(caplog):
    pytest.importorskip("obstore")
    settings = {"region": "us-east-1", "endpoint": "http://127.0.0.1:1", "access_key_id": "k", "secret_access_key": "s"}
    engine = FastEngine("bucket", settings, {"allow_http": True}, None)
    failure = OSError(
        "GET http://user:HUSHHUSH@127.0.0.1:1/bucket/x: the server said \x1b[31mno\nmore\n\nDebug source: …"
    )
    with caplog.at_level(logging.DEBUG):
        told = engine._not_plain(failure)
    for text in (str(told), caplog.text.removesuffix("\n")):
        assert "HUSH" not in text
        assert text.isprintable()
        assert "127.0.0.1:1/bucket/x" in text


@pytest.mark.parametrize("name", ["botocore.endpoint", "aiobotocore.regions", "botocore.regions"])
def test_a_password_in_the_address_of_a_server_is_in_no_log_of_its_clients(caplog, name):
    hide_in_logs(())
    with caplog.at_level(logging.DEBUG):
        logging.getLogger(name).debug("with parameters: %r", {"Endpoint": "http://user:HUSHHUSH@127.0.0.1:1/x"})
    assert "HUSH" not in caplog.text
    assert "127.0.0.1:1/x" in caplog.text
