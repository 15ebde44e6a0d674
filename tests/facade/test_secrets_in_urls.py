"""A URL with a secret may be given to any call: no message, traceback, warning, log line or record shows the secret."""

from __future__ import annotations

import functools
import io
import logging
import os
import subprocess
import sys
import threading
import traceback
import warnings
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import metamlflow
from metamlflow import MetaMLFlowClient, Pointer
from metamlflow.cli.entry import run
from metamlflow.data import Dataset
from metamlflow.errors import MetaMLFlowError

URLS = {
    "user info of a bucket": "s3://AKIA:HUSH@b/x.csv",
    "a secret key with a slash": "s3://AKIA:HU/SH+HUSH@b/x.csv",
    "user info in upper case": "S3://AKIA:HUSH@B/X.csv",
    "user info of a Google bucket": "gs://user:HUSH@b/x.csv",
    "user info of a server": "http://user:HUSH@{server}/x.csv",
    "an escaped password": "http://user:p%40%48USH@{server}/x.csv",
    "a token as the user": "http://HUSH@{server}/x.csv",
    "a signature of S3": "http://{server}/x.csv?X-Amz-Signature=HUSH&X-Amz-Expires=60",
    "a signature of GCS": "http://{server}/x.csv?X-Goog-Signature=HUSH",
    "a shared access signature": "http://{server}/x.csv?sv=2024&sig=HUSH%2B%3D",
    "a token": "http://{server}/x.csv?token=HUSH",
    "an archive behind user info": "zip://x.csv::http://user:HUSH@{server}/x.zip",
    "a cache before user info": "simplecache::http://user:HUSH@{server}/x.csv",
    "a container": "abfs://user:HUSH@a.dfs.core.windows.net/x.csv",
    "an unknown scheme": "nowhere://user:HUSH@host/x.csv",
}

CALLS = {
    "client": lambda client, url: MetaMLFlowClient(url).list_artifacts(),
    "register": lambda client, url: client.register_artifact("a", url),
    "register in a list": lambda client, url: client.register_artifact("a", [url]),
    "register in a mapping": lambda client, url: client.register_artifact("a", {"x.csv": url}),
    "register a data set": lambda client, url: Dataset.register(client, "a", url),
    "point": lambda client, url: client.register_pointer("a", url),
    "point in a mapping": lambda client, url: client.register_artifact("a", {"x": Pointer(url)}),
    "get": lambda client, url: client.get_artifact(url),
    "list": lambda client, url: client.list_artifacts(url),
    "name": lambda client, url: client.register_artifact(url, b"1"),
    "input": lambda client, url: client.register_artifact("b", b"1", inputs=[url]),
    "download": lambda client, url: client.get_artifact("there").download(url),
    "download a path": lambda client, url: client.get_artifact("there").download("out", path=url),
    "migrate from": lambda client, url: metamlflow.migrate(url, client),
    "migrate to": metamlflow.migrate,
    "compare": metamlflow.compare,
    "lineage": lambda client, url: client.lineage(url),
    "run": lambda client, url: client.get_run(url),
    "notes": lambda client, url: client.notes(url),
    "annotate": lambda client, url: client.annotate(url, title="x"),
    "annotate with a tag": lambda client, url: client.annotate("there", tags={url: 7}),
}


class _Refusing(BaseHTTPRequestHandler):
    """Quotes what it was asked for, as servers do."""

    def do_GET(self) -> None:
        text = f"no such thing: {self.path} {self.headers.get('Authorization')}\n\x1b[31merror: forged".encode()
        self.send_response(403, f"no {self.path}")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text if self.command == "GET" else b"")

    do_HEAD = do_GET  # noqa: N815 (the name that the base class calls)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as refusing:
        threading.Thread(target=refusing.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{refusing.server_port}"
        refusing.shutdown()


@pytest.fixture
def anonymous(monkeypatch):
    """No credentials and no other machine: what goes past the checks ends at a closed port."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)


def everything_of(error: BaseException) -> str:
    """All that a logger, a debugger or a traceback could show of an error and of those that it came from."""
    said, todo = [], [error]
    while todo:
        one = todo.pop()
        said += [str(one), repr(one), repr(one.args), repr(vars(one))]
        todo += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
    return "\n".join([*said, *traceback.format_exception(error)])


def said_of(call, client, url) -> str:
    """Make a call that may fail, and return all that it showed."""
    said = io.StringIO()
    with warnings.catch_warnings(record=True) as warned, redirect_stderr(said), redirect_stdout(said):
        warnings.simplefilter("always")
        try:
            call(client, url)
        except MetaMLFlowError as error:
            said.write(everything_of(error))
            forged = [line for line in str(error).splitlines() if line.startswith("error:") or "\x1b" in line]
            said.write("HUSH" if forged else "")
    return said.getvalue() + "".join(str(warning.message) for warning in warned)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_call_shows_the_secret_of_a_url(client, server, anonymous, tmp_path, monkeypatch, caplog, call):
    monkeypatch.chdir(tmp_path)
    client.register_artifact("there", b"1")
    with caplog.at_level(logging.INFO):
        told = {kind for kind, url in URLS.items() if "HUSH" in said_of(call, client, url.format(server=server))}
    assert told == set()
    assert "HUSH" not in caplog.text
    assert b"HUSH" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any("HUSH" in str(path) for path in tmp_path.rglob("*"))


COMMANDS = {
    "register": ["register", "a", "URL", "--store", "store"],
    "point": ["pointer", "register", "a", "URL", "--store", "store"],
    "show": ["show", "URL", "--store", "store"],
    "store": ["list", "--store", "URL"],
    "doctor": ["doctor", "URL"],
    "no such command": ["URL"],
    "no such option": ["list", "--URL"],
}


@pytest.mark.full
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("url", [URLS["user info of a bucket"], URLS["user info of a server"]])
def test_no_command_shows_the_secret_of_a_url(server, anonymous, tmp_path, monkeypatch, capfd, url, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "500")
    for more in ([], ["--debug"]):
        code = run([*more, *(argument.replace("URL", url.format(server=server)) for argument in arguments)])
        assert code not in {0, 70}
        assert "HUSH" not in "".join(capfd.readouterr())


def test_no_process_shows_the_secret_of_a_url(anonymous, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "metamlflow", "--debug", "list", "--store", URLS["user info of a bucket"]],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode not in {0, 70}
    assert "HUSH" not in done.stdout + done.stderr


@pytest.mark.parametrize("variable", ["METAMLFLOW_STORAGE_URI"])
def test_no_variable_shows_the_secret_of_a_url(monkeypatch, tmp_path, variable):
    monkeypatch.setenv(variable, URLS["user info of a bucket"])
    with pytest.raises(MetaMLFlowError) as caught:
        MetaMLFlowClient().list_artifacts()
    assert "HUSH" not in everything_of(caught.value)


def test_the_parameters_of_a_failed_run_and_its_events_hold_no_secret_of_its_error(client, server, raw):
    read = functools.partial(client.register_artifact, "a", f"http://user:HUSH@{server}/x.csv")
    with pytest.raises(MetaMLFlowError), client.run("job"):
        read()
    assert b"HUSH" not in b"".join(Path(raw.root / key).read_bytes() for key in sorted(raw.keys()))
