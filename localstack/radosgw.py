"""Starts a Ceph object gateway on this machine, without Docker and without a cluster: ``radosgw.py --port 7480``.

A monitor, one store of objects in a temporary folder, and the gateway, all of them on 127.0.0.1 and with no passwords
between them. Access key and secret are ``test``; ``radosgw-admin`` makes other users, with the configuration that is
printed. Everything runs until Ctrl-C, and is removed then.

Unlike the other servers it is the very program that runs in data centres, so it shows what emulators do not. It is not
installed from here: Debian and Ubuntu have it as ``radosgw ceph-mon ceph-osd ceph-common``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
START_SECONDS = 90
STOP_SECONDS = 10
READY = "radosgw is ready"
_DISK_BYTES = 8 << 30  # of a sparse file

_SETTINGS = """
[global]
fsid = {cluster}
mon_initial_members = one
mon_host = v1:{host}:{monitor_port}
ms_bind_msgr2 = false
public_addr = {host}
cluster_addr = {host}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = true
keyring = {folder}/keyring
run_dir = {folder}/run
admin_socket = {folder}/run/$name.$pid.asok
pid_file = {folder}/run/$name.pid
log_file = {folder}/log/$name.log
mon_data = {folder}/monitor
osd_data = {folder}/disk
# One copy of everything: there is one disk, and nothing on it is to last.
mon_allow_pool_size_one = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_max_pg_per_osd = 1000
osd_crush_chooseleaf_type = 0
osd_class_update_on_start = false
osd_crush_update_on_start = false
mon_data_avail_warn = 2
mon_data_avail_crit = 1
osd_objectstore = bluestore
bluestore_block_size = {disk}
bluestore_block_create = true
bluestore_fsck_on_mount = false
osd_memory_target = 1073741824
osd_class_load_list = *
osd_class_default_list = *

[client.rgw.one]
rgw_data = {folder}/gateway
rgw_frontends = beast endpoint={host}:{port}
rgw_crypt_require_ssl = false
rgw_enable_ops_log = false
rgw_thread_pool_size = 64
"""


class UnavailableError(Exception):
    """It cannot be started here; the message says why and what to do."""


def missing_programs() -> list[str]:
    """Return which of the programs that it takes are not on the PATH."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


class Gateway:
    """The three daemons in a folder; a context manager.

    Args:
        folder: that is empty, and stays theirs.
        port: of the gateway.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.configuration = folder / "ceph.conf"
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._environment = {**os.environ, "CEPH_CONF": str(self.configuration)}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the daemons, the gateway first."""
        for daemon in reversed(self._daemons):
            daemon.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for daemon in reversed(self._daemons):
            try:
                daemon.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _start(self) -> None:
        for name in ("monitor", "disk", "gateway", "run", "log"):
            (self.folder / name).mkdir()
        cluster, disk, monitor_port = str(uuid.uuid4()), str(uuid.uuid4()), _free_port()
        self.configuration.write_text(
            _SETTINGS.format(
                cluster=cluster, host=HOST, port=self.port, monitor_port=monitor_port, folder=self.folder,
                disk=_DISK_BYTES,
            )
        )  # fmt: skip
        keyring, monitors = str(self.folder / "keyring"), str(self.folder / "monitors")
        everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        self._run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self._run("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *everything)
        address = f"[v1:{HOST}:{monitor_port}]"
        self._run("monmaptool", "--create", "--addv", "one", address, "--fsid", cluster, monitors)
        self._run("ceph-mon", "--mkfs", "-i", "one", "--monmap", monitors, "--keyring", keyring)
        self._daemon("ceph-mon", "-f", "-i", "one")
        self._run("ceph", "osd", "new", disk)  # waits for the monitor
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._run("ceph", "osd", "crush", "add", "osd.0", "1.0", "host=here", "root=default")
        self._daemon("ceph-osd", "-f", "-i", "0")
        self._daemon("radosgw", "-f", "-n", "client.rgw.one")
        self._wait()
        self.add_user("test")

    def add_user(self, name: str) -> None:
        """Make a user whose access key and secret are its name."""
        keys = ("--access-key", name, "--secret-key", name)
        self._run("radosgw-admin", "user", "create", "--uid", name, "--display-name", name, *keys)

    def _run(self, *command: str) -> None:
        answer = subprocess.run(
            command, check=False, env=self._environment, capture_output=True, timeout=START_SECONDS, text=True
        )
        if answer.returncode:
            raise UnavailableError(f"{command[0]} failed:\n{(answer.stderr or answer.stdout)[-2000:]}")

    def _daemon(self, *command: str) -> None:
        with (self.folder / "log" / f"{command[0]}.out").open("wb") as log:
            self._daemons.append(
                subprocess.Popen(
                    command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                )
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for daemon in self._daemons:
                if daemon.poll() is not None:
                    name = Path(str(daemon.args[0])).name  # type: ignore[index]
                    said = (self.folder / "log" / f"{name}.out").read_text(errors="replace")
                    raise UnavailableError(f"{name} ended:\n{said[-2000:]}")
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            time.sleep(0.1)
        raise UnavailableError(f"the gateway did not listen within {START_SECONDS} s")


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def main() -> int:
    """Run a gateway in the foreground."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=7480)
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does")
    options = parser.parse_args()
    if absent := missing_programs():
        print(
            f"radosgw needs {', '.join(absent)}: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd "
            "ceph-common",
            file=sys.stderr,
        )
        return 1
    asked_to_end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked_to_end.set())
    if options.until_stdin_closes:
        threading.Thread(target=_wait_for_end_of_input, args=(asked_to_end,), daemon=True).start()
    # Sockets are made in it, whose paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="rgw-", dir="/tmp") as folder:
        try:
            with Gateway(Path(folder), options.port) as gateway:
                print(f"{READY}: http://{HOST}:{options.port} {gateway.configuration}", flush=True)
                asked_to_end.wait()
        except UnavailableError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _wait_for_end_of_input(ended: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    ended.set()


if __name__ == "__main__":
    sys.exit(main())
