"""Failures of S3 are told without the secrets of the options, and can still be read."""

from __future__ import annotations

import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import StorageError, StorageUnavailableError
from metamlflow_s3.error_context import Wording
from metamlflow_s3.error_table import s3_error
from metamlflow_s3.log_redaction import hide_in_logs
from metamlflow_s3.obstore_engine import FastEngine


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


def test_a_redirect_to_nowhere_is_told_and_no_recursion_error():
    told = s3_error(RecursionError("maximum recursion depth exceeded"))
    assert isinstance(told, StorageError)
    assert "does not say to where" in told.message
    assert "endpoint_url" in str(told.hint)


@pytest.mark.full
def test_a_server_that_redirects_without_a_region_is_an_error_of_the_library():
    class Redirecting(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = b"<Error><Code>PermanentRedirect</Code><Message>use the specified endpoint</Message></Error>"
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(301)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_PUT = do_GET  # noqa: N815 (http.server's names)

        def log_message(self, *_): ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = {"key": "k", "secret": "s", "endpoint_url": f"http://127.0.0.1:{server.server_address[1]}"}
        client = MetaMLFlowClient(
            "s3://bucket/x", storage_options=options, pointer_policy={"*": "allow"}, source_options={"s3": options}
        )
        for call in (
            client.list_artifacts,
            lambda: client.register_artifact("a", b"1"),
            lambda: client.register_pointer("a", "s3://lake/x"),
        ):
            with pytest.raises(StorageError, match=r"redirect|another region"):
                call()
        server.shutdown()


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


def test_an_answer_whose_head_is_no_text_is_not_asked_for_again_and_again():
    """botocore wraps whatever its HTTP client raises, and this is no connection that broke off."""
    from botocore.exceptions import HTTPClientError

    try:
        try:
            b"\xff".decode()
        except UnicodeDecodeError as error:
            raise HTTPClientError(error=error)  # noqa: B904 (as aiobotocore raises it)
    except HTTPClientError as error:
        told = s3_error(error)
    assert type(told) is StorageError
    assert "does not speak S3" in str(told)
    assert type(s3_error(HTTPClientError(error=OSError("reset")))) is StorageUnavailableError
