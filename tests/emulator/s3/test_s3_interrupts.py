"""Ctrl-C in the middle of a transfer: it ends soon, leaves no thread, no partial file, no unfinished upload."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from proxy_faults import Delay, Rule

from metamlflow_s3.engines import ENGINE_VARIABLE
from metamlflow_s3.uploads import PART_BYTES

CHILD = """
import json, sys, threading
from metamlflow import MetaMLFlowClient

url, options, what, source, out = sys.argv[1:]
client = MetaMLFlowClient(url, storage_options=json.loads(options))

def progress(state):
    if state.bytes:
        print("under way", flush=True)

try:
    if what == "register":
        client.register_artifact("a", source, progress=progress)
    else:
        client.get_artifact("a").download(out, progress=progress)
except KeyboardInterrupt:
    own = [thread.name for thread in threading.enumerate() if thread.name.startswith("metamlflow")]
    # The threads that send parts wait for the next upload; they hold nothing, and end with the process.
    print("interrupted", [name for name in own if not name.startswith("metamlflow-wire")], flush=True)
"""


@pytest.fixture(params=["small", "large"])
def source(request, tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    if request.param == "large":
        (folder / "large.bin").write_bytes(bytes(range(256)) * (PART_BYTES // 256 * 5))
    else:
        for number in range(300):
            (folder / f"{number:03}").write_bytes(number.to_bytes(4) * 1000)
    return folder


@pytest.mark.full
@pytest.mark.parametrize("engine", ["auto", "s3fs"])
@pytest.mark.parametrize("what", ["register", "download"])
def test_an_interrupted_transfer_ends_soon_and_leaves_nothing(proxied, source, tmp_path, what, engine):
    root, proxy = proxied
    if what == "download":
        root.client().register_artifact("a", source)
    for op in ("PutObject", "UploadPart", "GetObject"):
        proxy.add(Rule(Delay(0.4), op=op, key="*/blobs/*", times=None))
    environment = os.environ | {ENGINE_VARIABLE: engine}
    arguments = [sys.executable, "-c", CHILD, root.url, json.dumps(root.options), what, source, tmp_path / "out"]
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "under way\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        said = process.stdout.read().splitlines()[-1]
        process.wait(30)
    assert said == "interrupted []"
    assert time.monotonic() - begun < 10
    assert (root.unfinished_uploads(), (tmp_path / "out").exists()) == ([], False)
    if what == "register":
        assert "/_versions/" not in str(root.keys())
    proxy.clear()
    client = root.client()
    client.register_artifact("a", source)
    assert client.get_artifact("a").verify()


LISTING = """
import json, sys
from metamlflow_s3 import open_backend

url, options = sys.argv[1:]
assert len(list(open_backend(url, json.loads(options)).list_objects())) == 20
"""


@pytest.mark.full
def test_a_process_that_ends_right_after_a_listing_ends_well(moto_root):
    """A thread of the fast engine may hold on to a page for a moment; if Python ends in it, the process is aborted."""
    for number in range(20):
        moto_root.write(f"{number:02}", b"content")
    command = [sys.executable, "-c", LISTING, moto_root.url, json.dumps(moto_root.options)]
    children = [subprocess.Popen(command) for _ in range(10)]
    assert [child.wait(100) for child in children] == [0] * 10
