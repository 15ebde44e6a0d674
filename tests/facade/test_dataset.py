from __future__ import annotations

import pickle

import pandas as pd
import pytest
from table_samples import ROWS, TEXT, frame

from metamlflow.data import Dataset
from metamlflow.errors import ArtifactNotFoundError, InvalidNameError


def test_a_version_is_opened_by_number_or_reference(client):
    Dataset.register(client, "t", frame(), {"v": 1})
    Dataset.register(client, "t", frame(), {"v": 2})
    assert Dataset.open(client, "t").metadata == {"v": 2}
    assert Dataset.open(client, "t", 1) == Dataset.open(client, "t@1")
    with pytest.raises(ArtifactNotFoundError):
        Dataset.open(client, "t", 3)


def test_any_artifact_can_be_looked_at_as_a_dataset(client, tmp_path):
    (tmp_path / "a.csv").write_bytes(TEXT)
    artifact = client.register_artifact("t", tmp_path / "a.csv", "model")
    assert Dataset(artifact).to_pandas().to_dict("list") == ROWS
    assert repr(Dataset(artifact)).startswith("<Dataset t@1: model, 1 file")


def test_a_dataset_is_a_value(client):
    dataset = Dataset.register(client, "t", frame())
    again = pickle.loads(pickle.dumps(dataset))
    assert again == dataset
    assert hash(again) == hash(dataset)
    pd.testing.assert_frame_equal(again.to_pandas(), frame())
    with pytest.raises(AttributeError):
        dataset.artifact = None


def test_a_retry_under_a_key_makes_no_second_version(client):
    seen = []
    first = Dataset.register(client, "t", frame(), idempotency_key="job-1", progress=seen.append)
    assert Dataset.register(client, "t", frame().iloc[:1], idempotency_key="job-1") == first
    assert seen


def test_a_wrong_name_is_refused_before_anything_is_converted(client):
    class NeverRead:
        __arrow_c_stream__ = None  # calling it would raise a TypeError

    with pytest.raises(InvalidNameError):
        Dataset.register(client, "not a name", NeverRead())
