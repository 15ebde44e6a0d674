"""Bring a store from S3 to GCS. Only the latest version of each name goes with its bytes, if you say so.

    python s3_to_gcs.py s3://team-bucket/ml gs://team-bucket/ml [--latest-only] [--profile NAME] [--project NAME]

Each end has credentials of its own: AWS as its tools find them, Google as ``gcloud auth application-default login``
left them. The CRC32C that the destination stored of every object is compared with the manifest's. Versions left out
keep their numbers and manifests; a later run without ``--latest-only`` brings their bytes.
"""

from __future__ import annotations

import sys

from moving import bring, parser


def main() -> int:
    """Do it; return the exit code."""
    options = parser(__doc__, "s3://team-bucket/ml", "gs://team-bucket/ml")
    options.add_argument("--latest-only", action="store_true", help="leave the bytes of older versions behind")
    options.add_argument("--profile", help="of the AWS configuration")
    options.add_argument("--endpoint-url", help="of another S3 than Amazon's")
    options.add_argument("--project", help="of Google Cloud")
    options.add_argument("--gcs-endpoint-url", help="of an emulator")
    given = options.parse_args()
    s3 = {"profile": given.profile, "endpoint_url": given.endpoint_url}
    gcs = {"project": given.project, "endpoint_url": given.gcs_endpoint_url}
    gcs["token"] = "anon" if given.gcs_endpoint_url else None
    return bring(
        given,
        source_options={name: value for name, value in s3.items() if value},
        destination_options={name: value for name, value in gcs.items() if value},
        versions="latest" if given.latest_only else None,
        verify="checksum",
        proof=not given.latest_only,  # what was left out on purpose differs
    )


if __name__ == "__main__":
    sys.exit(main())
