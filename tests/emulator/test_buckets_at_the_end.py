"""Registering and reading in a bucket while Python shuts down."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from metamlflow import MetaMLFlowClient

pytestmark = pytest.mark.emulator

_BODY = """
import atexit, json, sys, threading, time
if sys.argv[3] == "before":
    atexit.register(lambda: work())
from metamlflow import MetaMLFlowClient

url, options, when, warm = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4]

client = MetaMLFlowClient(url, storage_options=options)

def work():
    files = {f"{n:03}": b"%d" % n for n in range(50)} | {"large": bytes(20 * 1024 * 1024)}
    artifact = client.register_artifact("at-the-end", files)
    assert artifact.verify("full")
    assert client.get_artifact("at-the-end", 1).read_bytes("007") == b"7"
    print("done", flush=True)

def outlive():
    threading.main_thread().join()
    time.sleep(0.2)
    work()

if when == "first":  # before anything that a client leaves to be closed: handlers run backwards
    atexit.register(work)
if warm == "warm":
    client.register_artifact("before", {"a": b"1", "b": b"2"})
if when == "atexit":
    atexit.register(work)
elif when == "thread":
    threading.Thread(target=outlive).start()
"""


@pytest.mark.full
@pytest.mark.parametrize("warm", ["warm", "cold"])
@pytest.mark.parametrize("when", ["atexit", "first", "thread"])
@pytest.mark.parametrize("place", ["s3-auto", "s3-s3fs", "gcs"])
def test_a_bucket_is_written_and_read_at_the_interpreter_s_end(request, monkeypatch, place, when, warm):
    kind, _, engine = place.partition("-")
    server = request.getfixturevalue("gcs_server" if kind == "gcs" else "moto_server")
    if engine:
        monkeypatch.setenv("METAMLFLOW_S3_ENGINE", engine)
    # By name, and not by number: then names are looked up too.
    options = json.loads(json.dumps(server.storage_options).replace("127.0.0.1", "localhost"))
    url = f"{'gs' if kind == 'gcs' else 's3'}://{server.new_bucket()}/ml"
    command = [sys.executable, "-W", "ignore", "-c", _BODY, url, json.dumps(options), when, warm]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout + done.stderr == "done\n"
    assert MetaMLFlowClient(url, storage_options=options).get_artifact("at-the-end").verify()


@pytest.mark.full
@pytest.mark.parametrize("place", ["s3-auto", "s3-s3fs", "gcs"])
def test_a_handler_from_before_the_import_finds_clients_that_were_closed_and_goes_on(request, monkeypatch, place):
    kind, _, engine = place.partition("-")
    server = request.getfixturevalue("gcs_server" if kind == "gcs" else "moto_server")
    if engine:
        monkeypatch.setenv("METAMLFLOW_S3_ENGINE", engine)
    url = f"{'gs' if kind == 'gcs' else 's3'}://{server.new_bucket()}/ml"
    command = [sys.executable, "-W", "ignore", "-c", _BODY, url, json.dumps(server.storage_options), "before", "warm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "done\n", done.stderr
