"""The public tutorial runs as it was written, and what it leaves behind is what it promises its readers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from extras import imported, need
from metamlflow import MetaMLFlowClient
from metamlflow.errors import ArtifactNotFoundError

pytestmark = pytest.mark.full
TUTORIAL = Path(__file__).parents[1] / "data" / "tutorial.py"
FEATURES, MODEL = "ecommerce_processed_features", "my_first_logistic_model"


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """The tutorial's working folder after it ran, and what it printed."""
    need("joblib", "sklearn")
    folder = tmp_path_factory.mktemp("tutorial")
    done = subprocess.run([sys.executable, TUTORIAL], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "StaleMetadataWarning" not in done.stderr, "its second version has the schema_version that it should"
    return folder, done.stdout


@pytest.fixture
def reader(tutorial, tmp_path):
    return MetaMLFlowClient(tutorial[0] / "metamlflow_storage", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("version", [1, 2])
def test_its_second_version_alone_is_linked_to_its_model_in_both_directions(reader, version):
    model, features = f"{MODEL}@1", f"{FEATURES}@{version}"
    linked = {model, features} if version == 2 else {features}
    assert set(reader.get_artifact(FEATURES, version).downstream().artifacts) == linked
    assert set(reader.get_artifact(MODEL).upstream().artifacts) == {model, f"{FEATURES}@2"}


def test_it_leaves_nothing_but_its_store(tutorial):
    folder, printed = tutorial
    assert [path.name for path in folder.iterdir()] == ["metamlflow_storage"]
    assert "Artifact Version: 2" in printed


def test_it_makes_two_versions_of_which_the_second_is_the_latest(reader):
    assert [artifact.version for artifact in reader.list_artifacts(FEATURES)] == [1, 2]
    assert reader.get_artifact(FEATURES).version == 2
    assert reader.get_artifact(FEATURES, 1).artifact_id != reader.get_artifact(FEATURES, 2).artifact_id


def test_a_list_that_it_goes_on_changing_does_not_change_what_was_registered(reader):
    steps = ["handle_missing", "normalize_features"]
    first, second = (reader.get_artifact(FEATURES, version).metadata for version in (1, 2))
    assert first["transformation_steps"] == steps
    assert second["transformation_steps"] == [*steps, "add_new_feature"]
    assert (first["schema_version"], second["schema_version"]) == ("1.0", "1.1")


def test_its_model_is_found_and_loads(reader):
    joblib = imported("joblib")
    model = reader.get_artifact(MODEL)
    assert (model.version, model.artifact_type) == (1, "model")
    assert model.metadata["training_data_version"] == 2
    assert list(joblib.load(model.local_path()).feature_names_in_) == ["feature_1", "feature_2", "new_feature"]
    assert [artifact.name for artifact in reader.list_artifacts()] == [FEATURES, MODEL]
    assert [artifact.name for artifact in reader.list_artifacts(artifact_type="model")] == [MODEL]


def test_pandas_reads_the_storage_path(reader):
    pandas = pytest.importorskip("pandas")
    assert list(pandas.read_csv(reader.get_artifact(FEATURES, 1).storage_path)) == ["feature_1", "feature_2", "target"]
    assert pandas.read_csv(reader.get_artifact(FEATURES).storage_path).shape == (100, 4)


def test_a_misspelt_name_is_told_the_near_one(reader):
    with pytest.raises(ArtifactNotFoundError, match=f"Did you mean '{FEATURES}'") as caught:
        reader.get_artifact("ecommerce_proccessed_feature")
    assert caught.value.suggestions == (FEATURES,)


def test_a_missing_version_is_told_which_there_are(reader):
    with pytest.raises(ArtifactNotFoundError, match="It has the versions 2, 1") as caught:
        reader.get_artifact(FEATURES, 3)
    assert (caught.value.name, caught.value.version, caught.value.suggestions) == (FEATURES, 3, ("2", "1"))


def test_its_two_versions_differ_by_a_column_and_the_metadata_that_it_changed(reader):
    diff = reader.diff(f"{FEATURES}@1", f"{FEATURES}@2")
    assert [(column.name, column.type) for column in diff.schema.added] == [("new_feature", "double")]
    assert not diff.schema.removed
    assert not diff.schema.changed
    assert "transformation_steps[2]" in diff.metadata.added
    assert diff.metadata.changed["schema_version"].after == "1.1"
    for text in (str(diff), diff.to_html(), diff._repr_html_()):
        assert "new_feature" in text
        assert "double" in text
