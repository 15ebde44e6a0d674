"""Bring a store from a folder to S3, read every byte back, and compare both.

    python local_to_s3.py ~/laptop-store s3://team-bucket/ml [--profile NAME] [--endpoint-url URL]

Credentials are found as the AWS tools find them: environment, profile, instance role. Run it again after a failure: it
goes on where it was stopped.
"""

from __future__ import annotations

import sys

from moving import bring, parser


def main() -> int:
    """Do it; return the exit code."""
    options = parser(__doc__, "~/laptop-store", "s3://team-bucket/ml")
    options.add_argument("--profile", help="of the AWS configuration")
    options.add_argument("--endpoint-url", help="of another S3 than Amazon's")
    given = options.parse_args()
    s3 = {"profile": given.profile, "endpoint_url": given.endpoint_url}
    return bring(given, destination_options={name: value for name, value in s3.items() if value}, verify="full")


if __name__ == "__main__":
    sys.exit(main())
