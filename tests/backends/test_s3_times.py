"""The times in answers of S3 are read as botocore reads them, and those of a listing faster."""

from __future__ import annotations

import pytest

pytest.importorskip("s3fs")
from botocore.utils import parse_timestamp

from metamlflow_s3.connection import time_of

TIMES = [
    "2026-11-30T08:16:36.000Z",
    "2026-11-30T08:16:36Z",
    "2026-11-30T08:16:36.123456Z",
    "2026-11-30T08:16:36.1Z",
    "2026-11-30T08:16:36+02:00",
    "Mon, 30 Nov 2026 08:16:36 GMT",
    1_796_026_596,
    "1796026596.5",
]


@pytest.mark.parametrize("told", TIMES, ids=str)
def test_a_time_is_read_as_botocore_reads_it(told):
    assert time_of(told) == parse_timestamp(told)
    assert time_of(told).utcoffset() == parse_timestamp(told).utcoffset()


@pytest.mark.parametrize("told", ["2026-02-30T08:16:36Z", "soon", "", None, "2026-11-30T25:16:36.000Z"], ids=repr)
def test_what_is_no_time_is_refused_as_before(told):
    with pytest.raises(Exception) as before:  # noqa: PT011 (whatever botocore raises)
        parse_timestamp(told)
    with pytest.raises(type(before.value)):
        time_of(told)
