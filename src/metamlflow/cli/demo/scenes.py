"""The data of the story, and the model fitted to it: bicycle rides on days with different weather."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

SEED = 7
DAYS = 200
HELD_OUT = 50  # the last days; the model never sees them
PLEASANT = 21.0  # degrees Celsius
TARGET = "rides"
BASE_COLUMNS = ("temperature", "wind", "weekend")
DERIVED = "discomfort"

Row = dict[str, float]


def make_rides() -> list[Row]:
    """Return the days, always the same: the further the temperature is from pleasant, the fewer rides."""
    dice = random.Random(SEED)  # noqa: S311 (data, not a secret)
    rows = []
    for day in range(DAYS):
        temperature, wind, weekend = round(dice.uniform(4, 36), 1), round(dice.uniform(0, 12), 1), int(day % 7 > 4)  # noqa: PLR2004 (of a week)
        rides = 520 - 17 * abs(temperature - PLEASANT) - 9 * wind + 60 * weekend + dice.gauss(0, 20)
        rows.append({"day": day, "temperature": temperature, "wind": wind, "weekend": weekend, TARGET: round(rides)})
    return rows


def with_derived(rows: Sequence[Row]) -> list[Row]:
    """Return the days with one more feature: the distance of the temperature from a pleasant one."""
    return [row | {DERIVED: round(abs(row["temperature"] - PLEASANT), 1)} for row in rows]


def to_csv(rows: Sequence[Row]) -> bytes:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def from_csv(data: bytes) -> list[Row]:
    """Return the rows of a CSV whose columns are all numbers."""
    reader = csv.DictReader(io.StringIO(data.decode()))
    return [{name: float(text) if "." in text else int(text) for name, text in row.items()} for row in reader]


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Least squares with an intercept.

    Attributes:
        intercept: the prediction where all columns are 0.
        weights: by column.
    """

    intercept: float
    weights: Mapping[str, float]

    @classmethod
    def fit(cls, rows: Sequence[Row], columns: Sequence[str]) -> Self:
        """Fit to rows by the normal equations."""
        inputs = [[1.0, *(row[column] for column in columns)] for row in rows]
        width = len(columns) + 1
        matrix = [[sum(x[i] * x[j] for x in inputs) for j in range(width)] for i in range(width)]
        right = [sum(x[i] * row[TARGET] for x, row in zip(inputs, rows, strict=True)) for i in range(width)]
        intercept, *weights = _solve(matrix, right)
        return cls(intercept, dict(zip(columns, weights, strict=True)))

    def predict(self, row: Row) -> float:
        """Return the prediction for a row."""
        return self.intercept + sum(weight * row[column] for column, weight in self.weights.items())

    def r2(self, rows: Sequence[Row]) -> float:
        """Return the share of the target's variance in these rows that the model explains; 1 is all."""
        mean = sum(row[TARGET] for row in rows) / len(rows)
        unexplained = sum((row[TARGET] - self.predict(row)) ** 2 for row in rows)
        return 1 - unexplained / sum((row[TARGET] - mean) ** 2 for row in rows)

    def to_json(self) -> dict[str, Any]:
        """Return the model as exact JSON values."""
        return {"intercept": self.intercept, "weights": dict(self.weights)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the model that :meth:`to_json` gave."""
        return cls(document["intercept"], document["weights"])


def split(rows: Sequence[Row]) -> tuple[Sequence[Row], Sequence[Row]]:
    """Return the days to fit the model to, and the held-out days."""
    return rows[:-HELD_OUT], rows[-HELD_OUT:]


def _solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Solve a system of linear equations by elimination, the largest pivot first."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(size):
            if k != i:
                factor = rows[k][i] / rows[i][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[-1] / row[i] for i, row in enumerate(rows)]
