"""One job with MLflow: a run's artifacts in the bucket, its record in a SQLite file; see stopwatch.py."""

from __future__ import annotations

import shutil
from pathlib import Path

# Imported by MLflow, and by boto3 itself, when first used.
import boto3.s3.inject
import boto3.s3.transfer
import mlflow
from mlflow.store.artifact import s3_artifact_repo
from mlflow.store.tracking import sqlalchemy_store
from mlflow.tracking import MlflowClient
from stopwatch import Task, run_timed, run_tiny

LAZY = (boto3.s3.inject, boto3.s3.transfer, s3_artifact_repo, sqlalchemy_store)


class Session:
    """An experiment whose artifacts lie below the task's prefix."""

    def __init__(self, task: Task) -> None:
        tracking = f"sqlite:///{task.home / 'tracking.db'}"
        mlflow.set_tracking_uri(tracking)
        self._client = MlflowClient(tracking)
        found = self._client.get_experiment_by_name(task.prefix)
        root = f"s3://{task.bucket}/{task.prefix}"
        self._experiment = found.experiment_id if found else self._client.create_experiment(task.prefix, root)

    def publish(self, source: Path) -> None:
        """Log a file or the files of a folder as the artifacts of a new run."""
        run = self._client.create_run(self._experiment).info.run_id
        if source.is_file():
            self._client.log_artifact(run, str(source))
        else:
            self._client.log_artifacts(run, str(source))
        self._client.set_terminated(run)

    def latest(self) -> str:
        """Return the id of the newest run."""
        newest = ["attributes.start_time DESC"]
        return str(self._client.search_runs([self._experiment], max_results=1, order_by=newest)[0].info.run_id)

    def fetch(self, destination: Path, path: str = "") -> Path:
        """Download the artifacts of the newest run."""
        return Path(mlflow.artifacts.download_artifacts(run_id=self.latest(), artifact_path=path, dst_path=destination))


def main() -> None:
    """Do what the task says."""
    task = Task.read()
    session = Session(task)
    if task.step == "fetch":
        task.destination.mkdir()
        run_timed(lambda: session.fetch(task.destination))
    elif task.step == "tiny":
        folder = task.scratch / "tiny"
        run_tiny(
            task,
            register=session.publish,
            latest=session.latest,
            read=lambda: session.fetch(folder, "tiny.bin").read_bytes(),
            forget=lambda: (shutil.rmtree(folder, ignore_errors=True), folder.mkdir()),
        )
    elif task.step != "prepare":  # the session has made the database and the experiment
        run_timed(lambda: session.publish(task.source))


if __name__ == "__main__":
    main()
