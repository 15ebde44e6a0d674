"""A plug-in that cannot be imported is told with what is really missing, and who needs it."""

from __future__ import annotations

import re
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import MissingDependencyError

SOURCES = Path(__file__).parents[2]
HEAD = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n"

# The name of the module, its content, what the message says, and what the hint says.
FAILING = {
    "a module that looks like ours": ("metamlflow_azure", "import adlfs_of_nobody", "adlfs_of_nobody"),
    "a module with a name of its own": ("cloudy", "import adlfs_of_nobody.core", "adlfs_of_nobody"),
    "an import that comes late": ("late", "def open_backend(u, o):\n    import adlfs_of_nobody", "adlfs_of_nobody"),
    "a name that another package lost": ("lost", "from json import loadz", "cannot import name 'loadz'"),
    "no such function": ("empty", "x = 1", "open_backend"),
}


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """Installs a plug-in for the scheme ``plugged``, of a distribution that is called ``cloud-plug-in``."""

    def install(module: str, content: str, group: str = "backends", function: str = "open_backend") -> None:
        packages = tmp_path / "packages"
        info = packages / "cloud_plug_in-1.5.dist-info"
        info.mkdir(parents=True)
        (packages / f"{module}.py").write_text(f"{content}\n", "utf-8")
        (info / "METADATA").write_text(HEAD.format(name="cloud-plug-in"), "utf-8")
        points = f"[metamlflow.{group}]\nplugged = {module}:{function}\n"
        (info / "entry_points.txt").write_text(points, "utf-8")
        monkeypatch.syspath_prepend(str(packages))
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


@pytest.mark.parametrize(("module", "content", "told"), FAILING.values(), ids=FAILING)
def test_a_plug_in_of_others_is_told_with_its_own_name_and_no_extra(plugged, module, content, told):
    plugged(module, content)
    with pytest.raises(MissingDependencyError) as caught:
        MetaMLFlowClient("plugged://bucket/prefix", storage_options={})
    error = caught.value
    assert told in error.message
    assert "cloud-plug-in 1.5" in error.message
    assert "cloud-plug-in" in error.hint
    assert "metamlflow[" not in str(error)
    assert error.extra == ""


def test_a_lake_of_others_is_told_likewise(plugged, tmp_path):
    plugged("metamlflow_gcsx", "import adlfs_of_nobody", "external", "open_external")
    client = MetaMLFlowClient(tmp_path / "store", pointer_policy={"plugged": "allow"})
    with pytest.raises(MissingDependencyError) as caught:
        client.register_pointer("p", "plugged://bucket/key")
    assert "adlfs_of_nobody (needed by cloud-plug-in 1.5)" in caught.value.message
    assert "metamlflow[" not in str(caught.value)


def test_a_missing_dependency_of_ours_is_told_with_the_extra_that_brings_it(monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] in {"metamlflow_s3", "s3fs"}]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as where it is not installed
    with pytest.raises(MissingDependencyError) as caught:
        MetaMLFlowClient("s3://bucket/prefix", storage_options={})
    assert "s3fs" in caught.value.message
    assert caught.value.hint == "Install it with: pip install 'metamlflow[s3]'"
    assert caught.value.extra == "s3"


def test_every_extra_that_is_named_anywhere_exists():
    extras = set(metadata("metamlflow").get_all("Provides-Extra"))
    files = [*SOURCES.glob("src/**/*.py"), *SOURCES.glob("backends/**/*.py"), *SOURCES.glob("docs/*.md")]
    named = {
        extra
        for file in [*files, SOURCES / "README.md"]
        for found in re.findall(r"metamlflow\[([a-z0-9,]+)\]", file.read_text("utf-8"))
        for extra in found.split(",")
    }
    assert {"pandas", "s3", "signatures"} <= named
    assert named <= extras
