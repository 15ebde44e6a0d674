"""A pipeline of five steps whose lineage records itself: raw data, cleaned data, features, a model, its metrics.

    python pipeline.py ./store

Each step gets what it needs, registers what it makes, and says nothing of lineage: it runs inside ``client.run``. At
the end the lineage is printed, and drawn beside the store as ``lineage.mmd`` (Mermaid) and ``lineage.html`` (for a
browser).
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from metamlflow import Artifact, MetaMLFlowClient

Row = dict[str, float]

NIGHTS, UNPRICED = 0.3, 0.05  # of all rides


def as_csv(rows: Sequence[Mapping[str, float | str]]) -> bytes:
    """Return rows as a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def rows_of(artifact: Artifact) -> list[Row]:
    """Return the rows of a CSV file; a cell that is empty is left out."""
    with artifact.open() as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
        return [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(text)]


def collect(client: MetaMLFlowClient) -> Artifact:
    """Register rides as a meter wrote them: some without a price."""
    dice = random.Random(7)  # noqa: S311 (example data)
    rides = [{"km": round(dice.uniform(1, 20), 1), "night": float(dice.random() < NIGHTS)} for _ in range(200)]
    for ride in rides:
        ride["price"] = round(3 + 2 * ride["km"] + 4 * ride["night"] + dice.gauss(0, 0.5), 2)
    content = as_csv([ride | {"price": ""} if dice.random() < UNPRICED else ride for ride in rides])
    return client.register_artifact("rides/raw", {"rides.csv": content}, "dataset")


def clean(client: MetaMLFlowClient) -> Artifact:
    """Leave out rides without a price."""
    with client.run("clean") as run:
        rows = rows_of(client.get_artifact("rides/raw"))
        whole = [row for row in rows if "price" in row]
        run.log_metrics(rows=len(whole), left_out=len(rows) - len(whole))
        return client.register_artifact("rides/cleaned", {"rides.csv": as_csv(whole)}, "dataset")


def build_features(client: MetaMLFlowClient) -> Artifact:
    """Scale the kilometres to [0, 1]."""
    with client.run("build features"):
        rows = rows_of(client.get_artifact("rides/cleaned"))
        longest = max(row["km"] for row in rows)
        features = [{"km": row["km"] / longest, "night": row["night"], "price": row["price"]} for row in rows]
        return client.register_artifact(
            "rides/features", {"features.csv": as_csv(features)}, "dataset", {"longest_km": longest}
        )


def train(client: MetaMLFlowClient, epochs: int = 300, rate: float = 0.3) -> Artifact:
    """Fit a line by gradient descent on all but each fifth row."""

    @client.run("train", params={"epochs": epochs, "rate": rate})
    def fit() -> Artifact:
        rows = [row for number, row in enumerate(rows_of(client.get_artifact("rides/features"))) if number % 5]
        weights = {"km": 0.0, "night": 0.0, "base": 0.0}
        for _ in range(epochs):
            errors = [predict(weights, row) - row["price"] for row in rows]
            for name in weights:
                slope = sum(error * row.get(name, 1.0) for error, row in zip(errors, rows, strict=True)) / len(rows)
                weights[name] -= rate * slope
        return client.register_artifact("rides/model", {"model.json": json.dumps(weights).encode()}, "model")

    return fit()


def predict(weights: Row, row: Row) -> float:
    """Return the price that a model expects."""
    return weights["base"] + weights["km"] * row["km"] + weights["night"] * row["night"]


def evaluate(client: MetaMLFlowClient) -> Artifact:
    """Measure the model on the rows that it has not seen."""
    with client.run("evaluate") as run:
        weights = json.loads(client.get_artifact("rides/model").read_bytes())
        rows = rows_of(client.get_artifact("rides/features"))[::5]
        error = sum(abs(predict(weights, row) - row["price"]) for row in rows) / len(rows)
        run.log_metrics(mean_absolute_error=error)
        content = json.dumps({"mean_absolute_error": error, "rows": len(rows)}).encode()
        return client.register_artifact("rides/metrics", {"metrics.json": content}, "metrics")


def main(arguments: list[str] | None = None) -> int:
    """Run the five steps, print the lineage and draw it; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("store", nargs="?", type=Path, help="a folder; default: a new temporary one")
    store = parser.parse_args(arguments).store or Path(tempfile.mkdtemp(prefix="pipeline-"), "store")
    client = MetaMLFlowClient(store)
    for step in (collect, clean, build_features, train, evaluate):
        artifact = step(client)
        print(f"{step.__name__}: {artifact.name}@{artifact.version}")
    lineage = client.lineage(artifact, "upstream")
    print(f"\n{lineage}\n")
    (store.parent / "lineage.mmd").write_text(lineage.to_mermaid(), "utf-8")
    lineage.to_html(store.parent / "lineage.html")
    print(f"{store.parent / 'lineage.mmd'}\n{store.parent / 'lineage.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
