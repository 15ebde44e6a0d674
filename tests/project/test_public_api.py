"""What users may rely on is written down in api.txt, so that a change of it is seen and meant.

After a change that is meant: ``UPDATE_SNAPSHOTS=1 python -m pytest tests/project/test_public_api.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import pytest
from public_api import describe, describe_class, homeless

import metamlflow.errors

SNAPSHOT = Path(__file__).with_name("api.txt")
MODULES = (
    "metamlflow",
    "metamlflow.client",
    "metamlflow.artifacts",
    "metamlflow.data",
    "metamlflow.filesystem",
    "metamlflow.lineage",
    "metamlflow.migration",
    "metamlflow.runs",
    "metamlflow.errors",
    "metamlflow.types",
    "metamlflow.backend",
    "metamlflow.testing",
)


def test_the_public_api_is_the_one_written_down() -> None:
    api = "".join(f"{line}\n" for line in describe(MODULES))
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        SNAPSHOT.write_text(api, encoding="utf-8")
    assert SNAPSHOT.read_text("utf-8") == api


def test_no_public_signature_names_a_type_without_a_public_home() -> None:
    assert homeless(MODULES) == {}


def test_a_type_without_a_public_home_is_found_by_the_signatures_that_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metamlflow.types.__all__", ["Direction"])
    monkeypatch.setattr("metamlflow.artifacts.__all__", ["Artifact"])
    assert homeless(("metamlflow.client", "metamlflow.types", "metamlflow.artifacts")).items() >= {
        ("History", "metamlflow.client.MetaMLFlowClient.history"),
        ("Strength", "metamlflow.client.MetaMLFlowClient.register_pointer"),
    }


def test_every_error_and_warning_is_caught_from_the_package_itself() -> None:
    kinds = {name for name in metamlflow.errors.__all__ if name.endswith(("Error", "Warning"))}
    assert {name: getattr(metamlflow, name) for name in kinds} == {
        name: getattr(metamlflow.errors, name) for name in kinds
    }
    assert kinds <= set(metamlflow.__all__)
    assert set(dir(metamlflow)) == set(metamlflow.__all__)


class _Shared:
    def inherited(self, *, deep: bool = False) -> int: ...


class Sample(_Shared):
    limit: int = 3

    def __init__(self, name: str) -> None:
        self.name = name

    def __len__(self) -> int: ...

    def _hidden(self) -> None: ...

    @property
    def size(self) -> int: ...

    @classmethod
    def of(cls, *parts: str) -> Sample: ...

    @staticmethod
    def parse(text: str, default: object = object()) -> Sample: ...


class SampleError(ValueError):
    key: str = ""


class Shape(Protocol):
    def area(self) -> float: ...


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (
            Sample,
            [
                "class x(name: str)",
                "x.__len__(self) -> int",
                "x.inherited(self, *, deep: bool = False) -> int",
                "x.limit: int = 3",
                "x.of(*parts: str) -> Sample  [classmethod]",
                "x.parse(text: str, default: object = <object object>) -> Sample  [staticmethod]",
                "x.size -> int  [property]",
            ],
        ),
        (SampleError, ["class x [ValueError]", "x.key: str = ''"]),
        (Shape, ["class x [Protocol]", "x.area(self) -> float"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_class_is_described_by_what_its_users_see(kind: type, lines: list[str]) -> None:
    assert describe_class("x", kind, public=set(), home=__name__) == lines


def test_a_name_that_another_public_module_owns_is_written_down_once(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = SimpleNamespace(__all__=["Sample"], Sample=Sample)
    front = SimpleNamespace(__all__=["Sample"], Sample=Sample)
    modules = {Sample.__module__: owner, "front": front}
    monkeypatch.setattr("public_api.import_module", modules.__getitem__)
    assert describe(("front", Sample.__module__))[0] == f"front.Sample = {Sample.__module__}.Sample"


@pytest.mark.full
@pytest.mark.parametrize(
    "name", ["errors.IntegrityError", "types.RunRecord", "client.MetaMLFlowClient", "migration.migrate"]
)
def test_a_public_module_is_there_after_the_import_of_the_package_alone(name: str) -> None:
    code = f"import metamlflow, sys; print('metamlflow.errors' in sys.modules, metamlflow.{name}.__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == ["False", name.rpartition(".")[2]]
