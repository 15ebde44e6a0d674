"""A package adds a format by an entry point, and gets no trust by that."""

from __future__ import annotations

import sys
from collections import OrderedDict
from fractions import Fraction

import pytest

from metamlflow import UntrustedContentError
from metamlflow.errors import InvalidInputError, MissingDependencyError
from metamlflow.types import Serializer

MODULE = """
from fractions import Fraction
from metamlflow.types import Serializer

class Ratio(Serializer):
    name = "{name}"
    extension = ".ratio"
    {safe}
    def variant_of(self, value):
        return "" if isinstance(value, (Fraction, dict)) else None
    def write(self, value, path):
        path.write_text(str(value))
    def read(self, path, variant, trusted):
        return Fraction(path.read_text())
"""


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Install a package with one serializer."""

    def install(name="ratio", *, code=None, safe=True, value="plugged_ratio:Ratio"):
        site = tmp_path / f"site-{name}-{safe}"
        meta = site / "plugged-1.dist-info"
        meta.mkdir(parents=True)
        (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1\n")
        (meta / "entry_points.txt").write_text(f"[metamlflow.serializers]\n{name} = {value}\n")
        source = MODULE.format(name=name, safe="runs_code = False" if safe else "")
        (site / "plugged_ratio.py").write_text(source if code is None else code)
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, "plugged_ratio", raising=False)

    yield install
    sys.modules.pop("plugged_ratio", None)


def test_a_plug_in_saves_and_loads_objects_that_no_built_in_format_takes(client, plug_in):
    with pytest.raises(InvalidInputError, match="no format is known"):
        client.save("x", Fraction(1, 3))
    plug_in()
    saved = client.save("x", Fraction(1, 3))
    assert (saved.saved_as, saved.load(), [entry.path for entry in saved.entries]) == (
        "ratio",
        Fraction(1, 3),
        ["x.ratio"],
    )


def test_what_a_plug_in_loads_needs_trust_unless_it_says_that_it_runs_no_code(client, plug_in):
    plug_in(safe=False)
    saved = client.save("x", Fraction(1, 3))
    with pytest.raises(UntrustedContentError):
        saved.load()
    assert saved.load(trusted=True) == Fraction(1, 3)
    assert Serializer.runs_code is True


def test_a_plug_in_does_not_change_the_format_of_what_built_in_formats_take(client, plug_in):
    plug_in()
    assert client.save("x", {"a": 1}).saved_as == "json"
    with pytest.raises(InvalidInputError):
        client.save("x", OrderedDict(a=1))


def test_a_plug_in_cannot_take_the_name_of_a_built_in_format(client, plug_in):
    plug_in("json")
    assert client.save("x", {"a": 1}).load() == {"a": 1}


@pytest.mark.parametrize(
    ("code", "value", "error"),
    [
        ("import missing_package_of_nobody", "plugged_ratio:Ratio", MissingDependencyError),
        ("", "plugged_ratio:Ratio", MissingDependencyError),
        ("Ratio = dict", "plugged_ratio:Ratio", InvalidInputError),
    ],
    ids=["import", "attribute", "no serializer"],
)
def test_a_broken_plug_in_is_named_and_hinders_nothing_else(client, plug_in, code, value, error):
    plug_in("broken", code=code, value=value)
    assert client.save("x", {"a": 1}).load() == {"a": 1}
    with pytest.raises(error, match="broken"):
        client.save("x", Fraction(1, 3), format="broken")
