"""A real object gateway of Ceph: one for the session, where its programs are installed."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from servers import REGION, S3Server, Settings

START = Path(__file__).parents[3] / "localstack/radosgw.py"
SETTINGS = Settings.read(os.environ)
# Where no server may be missing, this one may if METAMLFLOW_TEST_WITHOUT=radosgw: it is not installed from here.
REQUIRED = SETTINGS.required and os.environ.get("METAMLFLOW_TEST_WITHOUT") != "radosgw"
INSTALL = "apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common"


def _starter() -> Any:
    specification = importlib.util.spec_from_file_location("localstack_radosgw", START)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class RadosGateway(S3Server):
    """The gateway, and the file that its tools are told it by."""

    configuration: str = ""

    def administer(self, *command: str) -> None:
        environment = {**os.environ, "CEPH_CONF": self.configuration}
        subprocess.run(
            ["radosgw-admin", *command], check=True, env=environment, capture_output=True, timeout=60, text=True
        )

    def add_user(self, name: str) -> dict[str, Any]:
        """Make a user who may do nothing, and return the options of its clients."""
        keys = ("--access-key", name, "--secret-key", name)
        self.administer("user", "create", "--uid", name, "--display-name", name, *keys)
        return {**self.storage_options, "key": name, "secret": name}

    def attach(self, user: str, policy: str) -> None:
        """Attach a policy to a user, as it stands."""
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
        iam = session.client("iam", endpoint_url=self.url)
        iam.put_user_policy(UserName=user, PolicyName="metamlflow", PolicyDocument=policy)


@pytest.fixture(scope="session")
def gateway():
    absent = _starter().missing_programs()
    if absent:
        reason = f"the object gateway of Ceph is not installed ({', '.join(absent)} not on the PATH): {INSTALL}"
        (pytest.fail if REQUIRED else pytest.skip)(reason)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    # Its standard input is never written: the gateway ends when this process does, and the pipe with it.
    process = subprocess.Popen(
        [sys.executable, START, "--port", str(port), "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        told = process.stdout.readline()
        if not told:
            (pytest.fail if REQUIRED else pytest.skip)(f"radosgw did not start: {process.stderr.read()}")
        server = RadosGateway("radosgw", f"http://127.0.0.1:{port}", told.split()[-1])
        server.administer("caps", "add", "--uid", "test", "--caps", "user-policy=*")
        # There an object belongs to whoever sent it: a bucket's owner may not read it without a policy.
        everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        server.attach("test", json.dumps({"Version": "2012-10-17", "Statement": [everything]}))
        yield server
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(params=["auto", "s3fs"], ids=["obstore", "s3fs"])
def engine(request, monkeypatch) -> str:
    monkeypatch.setenv("METAMLFLOW_S3_ENGINE", request.param)
    return request.param
