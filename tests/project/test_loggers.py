"""Each module logs under a name of its own below ``metamlflow``, so that a part can be heard or silenced alone."""

from __future__ import annotations

import ast
import logging

import pytest
from checkout import ROOT

LIBRARY = "logging.getLogger(__name__)"
BACKEND = "logging.getLogger(f'metamlflow.backends.{__name__}')"


def loggers(source: str) -> list[str]:
    """Return the expressions that make a module's own loggers, each assigned to a name of the module."""
    return [
        ast.unparse(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("logging.getLogger(")
    ]


def _expected(folder: str) -> dict[str, list[str]]:
    found = {str(path.relative_to(ROOT)): loggers(path.read_text("utf-8")) for path in (ROOT / folder).rglob("*.py")}
    return {name: made for name, made in found.items() if made}


@pytest.mark.full
@pytest.mark.parametrize(("folder", "rule"), [("src/metamlflow", LIBRARY), ("backends", BACKEND)])
def test_a_module_logs_under_its_own_name_below_metamlflow(folder, rule):
    found = _expected(folder)
    assert found, f"no module below {folder} logs: does this test still see them?"
    assert {name: made for name, made in found.items() if made != [rule]} == {}


def test_the_rule_finds_a_logger_that_modules_share():
    assert loggers('import logging\n_log = logging.getLogger("metamlflow")\n') == ["logging.getLogger('metamlflow')"]


def test_the_level_of_metamlflow_holds_for_the_library_and_its_backends(caplog):
    pytest.importorskip("obstore")
    from metamlflow.store.publish import blobs
    from metamlflow_s3 import engines

    with caplog.at_level(logging.DEBUG, "metamlflow"):
        for module, name in [
            (blobs, "metamlflow.store.publish.blobs"),
            (engines, "metamlflow.backends.metamlflow_s3.engines"),
        ]:
            assert module._log.name == name
            module._log.debug("heard")
    assert [record.name for record in caplog.records] == [
        "metamlflow.store.publish.blobs",
        "metamlflow.backends.metamlflow_s3.engines",
    ]
