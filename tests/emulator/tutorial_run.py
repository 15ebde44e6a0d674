"""The tutorial on a bucket, with nothing changed but the place and its options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from extras import need
from metamlflow import MetaMLFlowClient

TUTORIAL = Path(__file__).parents[1] / "data" / "tutorial.py"
PLACE = 'client = MetaMLFlowClient(storage_uri=f"file://{META_MLFLOW_STORAGE_PATH}")'


def run_tutorial(url: str, options: dict[str, Any], folder: Path) -> None:
    """Run it in a process of its own, and look at what it left with a new client and with pandas."""
    need("joblib", "sklearn")
    text = TUTORIAL.read_text("utf-8")
    assert text.count(PLACE) == 1
    script = folder / "tutorial.py"
    here = f"client = MetaMLFlowClient(storage_uri={url!r}, storage_options={options!r})"
    script.write_text(text.replace(PLACE, here), encoding="utf-8")
    done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Artifact Version: 2" in done.stdout

    client = MetaMLFlowClient(url, storage_options=options)
    first = client.get_artifact("ecommerce_processed_features", 1)
    assert first.storage_path.startswith(f"{url}/blobs/")
    frame = pd.read_csv(first.storage_path, storage_options=options)
    assert list(frame) == ["feature_1", "feature_2", "target"]
    assert first.metadata["transformation_steps"] == ["handle_missing", "normalize_features"]
    assert len(client.list_artifacts("ecommerce_processed_features")) == 2
    assert client.get_artifact("my_first_logistic_model").metadata["training_data_version"] == 2
