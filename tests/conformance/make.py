"""Make docs/conformance/ anew: `python tests/conformance/make.py`. The same bytes come out each time."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "conformance"
sys.path.insert(0, str(Path(__file__).resolve().parent))

from kit import digest_rules, documents, key_rules, stores  # noqa: E402 (found beside this script)
from kit.rules import RULES  # noqa: E402
from reader.store import answers  # noqa: E402

WRITTEN_BY_HAND = {"README.md"}


def make(folder: Path) -> None:
    """Write all of the kit but its README below a folder."""
    by_file = documents.by_file()
    for name, cases in by_file.items():
        _write_lines(folder / "documents" / f"{name}.jsonl", [case.line() for case in cases])
    _write_lines(folder / "keys.jsonl", key_rules.lines())
    _write_lines(folder / "names.jsonl", key_rules.names())
    _write_lines(folder / "digests.jsonl", digest_rules.contents())
    _write_lines(folder / "cuts.jsonl", digest_rules.cuts())
    _write_lines(folder / "spellings.jsonl", digest_rules.spellings())
    _write_lines(folder / "inputs.jsonl", digest_rules.inputs())
    broken = {rule: [case.id for cases in by_file.values() for case in cases if case.rule == rule] for rule in RULES}
    said = {rule: {"section": section, "says": says} for rule, (section, says) in RULES.items()}
    _write(folder / "rules.json", {rule: told | {"broken_by": broken[rule]} for rule, told in said.items()})
    for name in stores.STORES:
        store = stores.make(name, folder / "stores")
        _write(folder / "answers" / f"{name}.json", answers(store))


def _write_lines(path: Path, values: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"{json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)}\n".encode())


if __name__ == "__main__":
    for old in FOLDER.iterdir() if FOLDER.exists() else ():
        if old.name not in WRITTEN_BY_HAND:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    make(FOLDER)
