"""Bring a store from GCS to S3, and what its artifacts only point to along with it.

    python gcs_to_s3.py gs://team-bucket/ml s3://team-bucket/ml --lake s3://team-lake/from-gcs

The data that artifacts point to is copied to ``--lake``, every byte verified, and the new store's pointers lead there;
the manifests stay as they are. What was registered without a digest is named: strengthen it first (``metamlflow
strengthen``).
"""

from __future__ import annotations

import sys

from moving import bring, parser


def main() -> int:
    """Do it; return the exit code."""
    options = parser(__doc__, "gs://team-bucket/ml", "s3://team-bucket/ml")
    options.add_argument("--lake", help="where pointed-to data is copied; default: it stays where it is")
    options.add_argument("--profile", help="of the AWS configuration")
    options.add_argument("--endpoint-url", help="of another S3 than Amazon's")
    options.add_argument("--gcs-endpoint-url", help="of an emulator")
    given = options.parse_args()
    s3 = {"profile": given.profile, "endpoint_url": given.endpoint_url}
    gcs = {"endpoint_url": given.gcs_endpoint_url, "token": "anon"} if given.gcs_endpoint_url else {}
    return bring(
        given,
        source_options=gcs,
        destination_options={name: value for name, value in s3.items() if value},
        copy_pointers=given.lake,
    )


if __name__ == "__main__":
    sys.exit(main())
