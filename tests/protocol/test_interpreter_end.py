"""Working while Python shuts down: in an ``atexit`` handler, and in a thread that outlives the main one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from metamlflow import MetaMLFlowClient

_BODY = """
import atexit, json, sys, threading, time
from pathlib import Path
from metamlflow import MetaMLFlowClient, migrate

url, options, folder, when, warm = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5]

def work():
    client = MetaMLFlowClient(url, storage_options=options)
    files = {f"{n:03}": b"%d" % n for n in range(200)} | {"large": bytes(20 * 1024 * 1024)}
    artifact = client.register_artifact("at-the-end", files)
    assert artifact.verify("full")
    assert client.get_artifact("at-the-end", 1).read_bytes("007") == b"7"
    out = artifact.download(folder / "out")
    assert len(list(Path(out).iterdir())) == 201
    assert migrate(client, folder / "copy")
    assert client.register_pointer("pointer", str(out)).version == 1
    print("done", flush=True)

def outlive():
    threading.main_thread().join()
    time.sleep(0.2)
    work()

if warm == "warm":
    MetaMLFlowClient(url, storage_options=options).register_artifact("before", {"a": b"1", "b": b"2"})
if when == "atexit":
    atexit.register(work)
else:
    threading.Thread(target=outlive).start()
"""


def run(url: str, options: str, folder, when: str, warm: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", _BODY, url, options, str(folder), when, warm]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


@pytest.mark.full
@pytest.mark.parametrize("warm", ["warm", "cold"])
@pytest.mark.parametrize("when", ["atexit", "thread"])
def test_everything_works_at_the_interpreter_s_end(store_folder, tmp_path, when, warm):
    assert run(str(store_folder), "{}", tmp_path, when, warm) == "done\n"
    assert MetaMLFlowClient(store_folder).get_artifact("at-the-end").verify()


@pytest.mark.full
def test_what_was_begun_before_the_end_is_ended(store_folder):
    """A thread in the midst of a publish when the main one ends: its pool is marked as shut down under it."""
    code = """
import sys, threading, time
from metamlflow import MetaMLFlowClient
begun = threading.Event()

def work():
    files = {f"{n:04}": b"%d" % n for n in range(3000)}
    MetaMLFlowClient(sys.argv[1]).register_artifact("a", files, progress=lambda _: begun.set())
    print("done", flush=True)

threading.Thread(target=work).start()
begun.wait()
"""
    done = subprocess.run([sys.executable, "-c", code, str(store_folder)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert len(MetaMLFlowClient(store_folder).get_artifact("a").entries) == 3000
