"""How many requests arrive at the server: no more than the budgets allow, what clients add by themselves included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from clouds import Cloud

pytestmark = pytest.mark.emulator

N = 50
FILES = {f"folder/{number:03d}.csv": b"%d" % number for number in range(N)}


@dataclass
class DestinationIndex:
    """What operations took, and what they may take."""

    cloud: Cloud
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)

    def count(self, what: str, budget: int, operation: Callable[[], Any]) -> Any:
        self.cloud.proxy.reset()
        result = operation()
        self.rows[what] = self.cloud.proxy.counts.total(), budget
        return result

    def __str__(self) -> str:
        lines = [f"{what:<44} {taken:>4} of {budget}" for what, (taken, budget) in self.rows.items()]
        return "\n".join([f"requests on {self.cloud.server.name}:", *lines])


def test_every_operation_keeps_to_its_budget(plain_cloud: Cloud, tmp_path):
    ledger = DestinationIndex(plain_cloud)
    count, cold = ledger.count, plain_cloud.client
    count("first write, creates the store", 4 + 3 + 8, lambda: cold().register_artifact("warm", b"up"))
    count("first write of a client", 4 + 3, lambda: cold().register_artifact("cold", b"new"))
    count("first read of a client, by number", 2 + 2, lambda: cold().get_artifact("warm", 1))
    count("first read of a client, latest", 2 + 2, lambda: cold().get_artifact("warm"))
    client = cold()
    client.register_artifact("warm", b"up again")
    _count_writes(ledger, client)
    _count_reads(ledger, client, tmp_path)
    print(f"\n{ledger}")
    assert {what for what, (taken, budget) in ledger.rows.items() if taken > budget} == set(), f"\n{ledger}"


def _count_writes(ledger: DestinationIndex, client) -> None:
    count = ledger.count
    count("register one small file, new name", 4, lambda: client.register_artifact("model", b"1"))
    count("register one small file, next version", 4, lambda: client.register_artifact("model", b"2"))
    count("the same bytes under another name", 4 + 2, lambda: client.register_artifact("other", b"2"))
    count(f"register a folder of {N} new files", N + 4, lambda: client.register_artifact("folder", FILES))
    count("register the same folder again", 4, lambda: client.register_artifact("folder", FILES))
    reuse = count(
        "the same folder, if_unchanged='reuse'",
        4,
        lambda: client.register_artifact("folder", FILES, if_unchanged="reuse"),
    )
    assert reuse.version == 2
    job = {"idempotency_key": "job"}
    count("register under an idempotency key", 4 + 3, lambda: client.register_artifact("model", b"3", **job))
    count("the same key again", 4, lambda: client.register_artifact("model", b"3", **job))


def _count_reads(ledger: DestinationIndex, client, tmp_path) -> None:
    count = ledger.count
    count("get by number, 3 versions", 2, lambda: client.get_artifact("model", 1))
    count("get latest, 3 versions", 2, lambda: client.get_artifact("model"))
    for number in range(4, 31):
        client.register_artifact("model", b"%d" % number)
    count("get by number, 30 versions", 2, lambda: client.get_artifact("model", 1))
    latest = count("get latest, 30 versions", 2, lambda: client.get_artifact("model"))
    assert (latest.version, latest.read_bytes()) == (30, b"30")
    folder = count(
        f"get and download {N} files", N + 2, lambda: client.get_artifact("folder").download(tmp_path / "out")
    )
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.csv")} == set(FILES)
    count("get and read one file", 2 + 1, lambda: client.get_artifact("model").read_bytes())
