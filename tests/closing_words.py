"""What a run says at its end: which tiers ran, how long it took, what was skipped, and what that needs."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from _pytest.terminal import TerminalReporter

TIERS = {
    "quick": "no server is needed",
    "emulator": "against servers that are started here",
    "full": "what needs its size, or LocalStack: `python -m pytest -m full`; `bash .ci/run` runs it",
    "slow": "thousands of interleavings, large files: `python -m pytest -m slow`",
}
SELECTIONS = {
    "not full and not slow": ("quick", "emulator"),
    "not emulator and not full and not slow": ("quick",),
    "full and not slow": ("full",),
    "full": ("full",),
    "slow": ("slow",),
}


class ClosingWords:
    """Counts while tests end, and speaks once."""

    def __init__(self, selection: str) -> None:
        self._began = time.monotonic()
        self._selection = selection
        self._files: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._files.add(report.nodeid.partition("::")[0])

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """One section: what ran, what did not, and each reason of skips with how many tests it kept from running."""
        stats = terminalreporter.stats
        ended = sum(len(stats.get(kind, ())) for kind in ("passed", "failed", "xfailed", "xpassed"))
        ran = SELECTIONS.get(self._selection)
        terminalreporter.section("what was run")
        which = " and ".join(ran) if ran else f"those of -m '{self._selection}'"
        terminalreporter.line(
            f"{ended} tests ({which}) of {len(self._files)} files in {time.monotonic() - self._began:.0f} s."
        )
        for tier in TIERS if ran else ():
            if tier not in ran:
                terminalreporter.line(f"Not run: {tier}, {TIERS[tier]}")
        reasons = Counter(map(reason_of, stats.get("skipped", ())))
        if reasons:
            terminalreporter.line("Skipped:")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:6} {reason}")


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test, or a whole file, was skipped."""
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")
