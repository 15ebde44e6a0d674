"""What a run was made on: the machine, its system, and the state of the checkout."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]


def facts(package: Path | None) -> dict[str, Any]:
    """Return them, as they stand in the raw data.

    Args:
        package: where the package that was measured lies; its commit is known only if that is in this checkout.
    """
    here = package is not None and package.resolve().is_relative_to(CHECKOUT)
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "commit": _git("rev-parse", "--short", "HEAD") if here else None,
        "changed": here and bool(_git("status", "--porcelain", "--", "src", "backends", "pyproject.toml")),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _git(*arguments: str) -> str | None:
    """Return what git answers, None outside a repository."""
    try:
        answer = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
