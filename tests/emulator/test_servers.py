"""The servers start, hold what is put there, stay on this machine, and end with whoever started them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from servers import RUN, ServerUnavailableError, Settings, _stop, run, running

HERE = Path(__file__).parent
NOTHING = Settings(required=False, install=False, pythons={})


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def port_of(server) -> int:
    return int(server.url.rpartition(":")[2])


# --- what they are ----------------------------------------------------------------------------------------------------


def test_an_s3_server_refuses_a_second_conditional_write(s3_server):
    bucket, s3 = s3_server.new_bucket(), s3_server.raw()
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="a/b", Body=b"second", IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"first"


def test_a_versioned_bucket_keeps_versions(s3_server):
    bucket, s3 = s3_server.new_bucket(versioned=True), s3_server.raw()
    versions = {s3.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"] for body in (b"1", b"2")}
    assert len(versions) == 2


def test_localstack_checks_checksums(localstack_server):
    bucket, s3 = localstack_server.new_bucket(), localstack_server.raw()
    with pytest.raises(ClientError, match=r"BadDigest|[Cc]hecksum"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"content", ChecksumSHA256="A" * 43 + "=")


def test_the_gcs_server_refuses_a_second_conditional_write_by_gcsfs(gcs_server):
    from gcsfs import GCSFileSystem

    filesystem = GCSFileSystem(**gcs_server.storage_options, skip_instance_cache=True)
    bucket = gcs_server.new_bucket()
    filesystem.pipe_file(f"{bucket}/a/b", b"first", mode="create")
    with pytest.raises(FileExistsError):
        filesystem.pipe_file(f"{bucket}/a/b", b"second", mode="create")
    raw = gcs_server.raw()
    assert raw.get(bucket, "a/b") == b"first"
    assert [item["name"] for item in raw.list(bucket, "a/")] == ["a/b"]
    raw.delete(bucket, "a/b")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        raw.stat(bucket, "a/b")


def test_each_bucket_is_new(s3_server, gcs_server):
    assert s3_server.new_bucket() != s3_server.new_bucket()
    assert gcs_server.new_bucket() != gcs_server.new_bucket()


def test_s3fs_takes_the_storage_options(s3_server):
    from s3fs import S3FileSystem

    filesystem = S3FileSystem(**s3_server.storage_options, skip_instance_cache=True)
    bucket = s3_server.new_bucket()
    filesystem.pipe_file(f"{bucket}/k", b"content")
    assert s3_server.raw().get_object(Bucket=bucket, Key="k")["Body"].read() == b"content"


# --- how they start and end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["moto", "gcs"])
def test_a_server_ends_with_its_context(name):
    with running(name, NOTHING) as server:
        assert listens(port_of(server))
    assert not listens(port_of(server))


def test_a_server_ends_when_the_tests_are_killed(tmp_path):
    program = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(HERE)!r})
        from servers import Settings, running
        with running("moto", Settings(required=False, install=False, pythons={{}})) as server:
            print(server.url, flush=True)
            time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout
        port = int(tests.stdout.readline().rpartition(":")[2])
        assert listens(port)
        tests.kill()
    wait_until(lambda: not listens(port))


def test_a_server_that_does_not_end_when_asked_is_killed(tmp_path):
    pid_file = tmp_path / "pid"
    stubborn = f"import os, signal, time; signal.signal({signal.SIGTERM}, signal.SIG_IGN); "
    stubborn += f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    program = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(RUN.parent)!r})
        import run
        run.PATIENCE = 0.2
        run.serve([sys.executable, "-c", {stubborn!r}], {{}}, Path({str(tmp_path)!r}), guarded=True)
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as launcher:
        wait_until(lambda: pid_file.exists() and pid_file.read_text())
        _stop(launcher)
        assert launcher.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_the_command_runs_until_it_is_asked_to_end():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, RUN, "gcs", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        wait_until(lambda: listens(port))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert f"http://127.0.0.1:{port}" in errors
    assert not listens(port)


def test_a_server_listens_on_this_machine_alone(s3_server, gcs_server):
    inode_table = Path("/proc/net/tcp")
    if not inode_table.exists():
        pytest.skip("only Linux tells who listens where in /proc")
    rows = [row.split() for row in inode_table.read_text().splitlines()[1:]]
    listening = {tuple(row[1].split(":")) for row in rows if row[3] == "0A"}
    for server in (s3_server, gcs_server):
        assert {address for address, port in listening if int(port, 16) == port_of(server)} == {"0100007F"}


def test_a_server_that_is_not_installed_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ServerUnavailableError, match=r"run\.py localstack --prepare"), running("localstack", NOTHING):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_fails_to_start_shows_what_it_said():
    settings = Settings(required=False, install=False, pythons={"localstack": Path(sys.executable)})
    with (
        pytest.raises(ServerUnavailableError, match="No module named 'twisted"),
        running("localstack", settings),
    ):
        pass


@pytest.mark.parametrize(
    ("environment", "required", "install"),
    [
        ({}, False, False),
        ({"CI": "true"}, True, False),
        ({"CI": "false"}, False, False),
        ({"METAMLFLOW_TEST_SERVERS": "required"}, True, False),
        ({"METAMLFLOW_TEST_INSTALL": "1"}, False, True),
    ],
)
def test_the_environment_says_whether_servers_are_required(environment, required, install):
    settings = Settings.read(environment)
    assert (settings.required, settings.install) == (required, install)


@pytest.mark.full
@pytest.mark.parametrize(("settings", "outcome"), [({}, "1 skipped"), ({"CI": "true"}, "1 error")])
def test_a_server_that_is_not_there_skips_its_tests_and_in_ci_fails_them(tmp_path, settings, outcome):
    dropped = ("METAMLFLOW_", "PYTEST_", "CI")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), **settings}
    test = f"{HERE / 'test_servers.py'}::test_localstack_checks_checksums"
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "",
            "-n",
            "0",
            "-p",
            "no:cacheprovider",
            "--basetemp",
            tmp_path / "inner",
            test,
        ],
        cwd=run.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in answer.stdout
    assert "run.py localstack --prepare" in answer.stdout


def test_the_environment_folder_changes_with_the_versions(tmp_path, monkeypatch):
    before = run.environment_folder("localstack")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/constraints-localstack.txt").write_text("localstack-core==1\n")
    assert run.environment_folder("localstack") != before


def test_the_versions_of_localstack_are_names_and_versions_alone():
    lines = (run.ROOT / run.RECIPES["localstack"].constraints).read_text("utf-8").splitlines()
    assert {line.count("==") for line in lines} == {1}
    assert all(line.replace("==", "").replace("-", "").replace(".", "").replace("_", "").isalnum() for line in lines)
