"""Import an MLflow artifact tree: what each run logged becomes a version, and each logged model too, the oldest first.

    python mlflow_artifacts.py ./mlruns --store ./store
    python mlflow_artifacts.py s3://company-mlflow/artifacts --pointers --evidence checksum

A tree holds ``<experiment>/<run>/artifacts/…`` and, from MLflow 3 on, ``<experiment>/models/<model>/artifacts/…``. What
a run has as ``artifacts/plots`` becomes ``mlflow/<experiment>/plots``, a model ``mlflow/<experiment>/model``; their ids
are in the metadata. MLflow itself is not needed. Run it again when there is more: nothing is imported twice.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from importing import clean_name, open_place, parser, register, told, uri_of

from metamlflow import MetaMLFlowClient

LOGGED = re.compile(r"(?P<experiment>[^/]+)/(?P<models>models/)?(?P<id>[^/]+)/artifacts/(?P<entry>[^/]+)(?P<rest>/.*)?")
TIMES = ("mtime", "LastModified", "updated", "last_modified", "created")


@dataclass
class Logged:
    """One thing that was logged: when its first file was written, and where it lies."""

    path: str
    is_folder: bool
    first: str
    id: str
    is_model: bool


def main() -> int:
    """Do it; return the exit code."""
    options = parser(__doc__)
    options.add_argument("tree", help="a path, or a URI such as s3://company-mlflow/artifacts")
    options.add_argument("--prefix", default="mlflow", help="of the artifacts' names (default mlflow)")
    given = options.parse_args()
    filesystem, root = open_place(given.tree)
    found: dict[tuple[str, str], Logged] = {}
    for path, info in filesystem.find(root, detail=True).items():
        if match := LOGGED.fullmatch(path.removeprefix(f"{root}/")):
            _note(found, root, match, next((str(info[name]) for name in TIMES if info.get(name)), ""))
    if not found:
        print(f"nothing in {given.tree} looks like <experiment>/<run>/artifacts/…", file=sys.stderr)
        return 1
    client = MetaMLFlowClient(given.store)
    for (name, _), logged in sorted(found.items(), key=lambda item: (item[1].first, item[0])):
        register(
            client,
            given,
            clean_name(f"{given.prefix}/{name}"),
            uri_of(filesystem, logged.path),
            is_folder=logged.is_folder,
            key=f"mlflow {'pointer ' if given.pointers else ''}{name} {logged.id}",
            artifact_type="model" if logged.is_model else "file",
            metadata={"mlflow_model_id" if logged.is_model else "mlflow_run_id": logged.id},
        )
    return 0


def _note(found: dict[tuple[str, str], Logged], root: str, match: re.Match[str], time: str) -> None:
    is_model = bool(match["models"])
    entry = "model" if is_model else match["entry"]
    folder = f"{root}/{match['experiment']}/{match['models'] or ''}{match['id']}/artifacts"
    path = folder if is_model else f"{folder}/{match['entry']}"
    key = f"{match['experiment']}/{entry}", match["id"]
    logged = found.setdefault(key, Logged(path, is_model or bool(match["rest"]), time, match["id"], is_model))
    logged.first = min(logged.first, time)


if __name__ == "__main__":
    sys.exit(told(main))
