"""Import a folder of dated directories: each date becomes a version of one artifact, in the order of the dates.

    python dated_folders.py s3://lake/events events --pointers --evidence checksum
    python dated_folders.py /data/exports sales/exports --store ./store

Takes ``2026-11-25``, ``2026_11_25``, ``20261125``, and these after ``date=`` and the like. Run it again when there are
new dates: those that were imported are not looked at again, and one that comes late is the next version.
"""

from __future__ import annotations

import re
import sys
from datetime import date

from importing import open_place, parser, register, told, uri_of

from metamlflow import MetaMLFlowClient

DATED = re.compile(r"(?:[A-Za-z_]+=)?([0-9]{4})([-_]?)([0-9]{2})\2([0-9]{2})")


def main() -> int:
    """Do it; return the exit code."""
    options = parser(__doc__)
    options.add_argument("folder", help="a path, or a URI such as s3://lake/events")
    options.add_argument("name", help="of the artifact")
    given = options.parse_args()
    filesystem, root = open_place(given.folder)
    found = []
    for entry in filesystem.ls(root, detail=True):
        path = entry["name"].rstrip("/")
        if entry["type"] == "directory" and (day := _day(path.rpartition("/")[2])):
            found.append((day, path))
    if not found:
        print(f"no folder in {given.folder} is called like a date", file=sys.stderr)
        return 1
    client = MetaMLFlowClient(given.store)
    for day, path in sorted(found):
        if not filesystem.ls(path):
            print(f"{path} is empty, and was left out", file=sys.stderr)
            continue
        key = f"import {'pointers to ' if given.pointers else ''}{path.rpartition('/')[2]}"
        metadata = {"date": day.isoformat()}
        register(client, given, given.name, uri_of(filesystem, path), is_folder=True, key=key, metadata=metadata)
    return 0


def _day(name: str) -> date | None:
    match = DATED.fullmatch(name)
    try:
        return date(int(match[1]), int(match[3]), int(match[4])) if match else None
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(told(main))
