"""Keep a second store as the first one is: every night what is new, and once a week every byte.

    15 3 * * *  python nightly_mirror.py s3://models/store gs://mirror/store --markdown /var/log/mirror.md
    15 3 * * 0  python nightly_mirror.py s3://models/store gs://mirror/store --every-byte

A night with nothing new costs two listings of each store, one to migrate and one to compare. Cron mails what is
printed; the exit code is 0 if the mirror has everything, 1 if something did not get through or differs, 2 if nothing
could be said. Credentials come from the environment: ``MIRROR_SOURCE_OPTIONS`` and ``MIRROR_DESTINATION_OPTIONS`` are
JSON objects of storage options.
"""

from __future__ import annotations

import json
import os
import sys

from moving import bring, parser

from metamlflow import MetaMLFlowClient, compare


def main() -> int:
    """Do it; return the exit code."""
    options = parser(__doc__, "s3://models/store", "gs://mirror/store")
    options.add_argument("--every-byte", action="store_true", help="compare all content, not only keys and sizes")
    given = options.parse_args()
    try:
        source = json.loads(os.environ.get("MIRROR_SOURCE_OPTIONS") or "{}")
        destination = json.loads(os.environ.get("MIRROR_DESTINATION_OPTIONS") or "{}")
    except ValueError as error:
        print(f"MIRROR_SOURCE_OPTIONS or MIRROR_DESTINATION_OPTIONS is no JSON: {error}", file=sys.stderr)
        return 2
    code = bring(given, source_options=source, destination_options=destination, proof=not given.every_byte)
    if code == 0 and given.every_byte and not given.dry_run:
        ends = (
            MetaMLFlowClient(given.source, storage_options=source),
            MetaMLFlowClient(given.destination, storage_options=destination),
        )
        differences = compare(*ends, full=True)
        for difference in differences:
            print(f"{difference.key}: {difference.what}: {difference.here} / {difference.there}")
        return int(bool(differences))
    return code


if __name__ == "__main__":
    sys.exit(main())
