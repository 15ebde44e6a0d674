"""What tests of the fault proxy look at: an S3 server seen through the proxy and past it."""

from __future__ import annotations

import time

# moto refuses anonymous requests, and checks no signature.
SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, Signature=0"}


class Site:
    def __init__(self, server, proxy) -> None:
        self.server, self.proxy, self.bucket = server, proxy, server.new_bucket()
        self.s3, self.raw = server.through(proxy.url).raw(), server.raw()

    def put(self, key="k", body=b"content", **more):
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **more)

    def get(self, key="k"):
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def held(self, key="k"):
        """What the server holds, asked past the proxy; None if nothing."""
        try:
            return self.raw.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.raw.exceptions.NoSuchKey:
            return None


def wait_until(condition, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
