"""All documents of the kit, by the file that they stand in."""

from __future__ import annotations

from collections import defaultdict

from kit import field_rules, json_rules, manifest_rules, record_rules, shard_rules
from kit.cases import Case

MODULES = (field_rules, json_rules, record_rules, manifest_rules, shard_rules)
"""One for each kind of mutation. A new record has its good document in `originals.py`, and is named in these."""


def by_file() -> dict[str, list[Case]]:
    """The cases, each under the first part of its id."""
    found: dict[str, list[Case]] = defaultdict(list)
    for module in MODULES:
        for case in module.cases():
            found[case.id.partition("/")[0]].append(case)
    ids = [case.id for cases in found.values() for case in cases]
    doubled = {one for one in ids if ids.count(one) > 1} if len(set(ids)) != len(ids) else set()
    if doubled:
        raise ValueError(f"these ids stand for two documents: {sorted(doubled)}")
    return dict(found)
