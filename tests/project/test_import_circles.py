"""No module needs itself: what is imported for type checkers alone counts too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from extras import imported

nx = imported("networkx")
grimp = pytest.importorskip("grimp", reason="of import-linter, which the dev extra brings")

PACKAGES = ("metamlflow", "metamlflow_gcs", "metamlflow_http", "metamlflow_local", "metamlflow_s3")


def circles(imports: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The groups of modules that need one another."""
    graph = nx.DiGraph((importer, imported) for importer, all_ in imports.items() for imported in all_)
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def test_no_modules_import_one_another_types_counted():
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200, "the packages were found"
    assert circles(imports) == []


def test_a_circle_would_be_found():
    assert circles({"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": []}) == [["a", "b", "c"]]
