"""A data set in a bucket of Google is scanned in ranges, as one on S3 is."""

from __future__ import annotations

import pandas as pd
import pyarrow.dataset as ds

from metamlflow import Dataset


def test_a_partitioned_data_set_in_a_bucket_gives_its_rows(root):
    frame = pd.DataFrame(
        {"n": range(20_000), "year": [2023, 2024] * 10_000, "half": [number / 2 for number in range(20_000)]}
    )
    dataset = Dataset.register(root.client(), "rides", frame, partition_by="year")
    found = dataset.scan().to_table(columns=["n"], filter=(ds.field("year") == 2024) & (ds.field("n") > 19_990))
    assert found["n"].to_pylist() == [19_991, 19_993, 19_995, 19_997, 19_999]
    pd.testing.assert_frame_equal(dataset.to_pandas().sort_values("n").reset_index(drop=True), frame)
    assert sum(batch.num_rows for batch in dataset.iter_batches(["half"])) == 20_000
