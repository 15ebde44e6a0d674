"""Columns of types that another package brings, which converts them to Arrow and back as it likes."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pandas.api.extensions import ExtensionArray, ExtensionDtype, register_extension_dtype

from metamlflow.data import Dataset
from metamlflow.errors import InvalidInputError


@register_extension_dtype
class MoneyType(ExtensionDtype):
    """A type whose two conversions a test sets."""

    name = "money"
    type = Decimal

    @classmethod
    def construct_array_type(cls):
        return Money

    def __from_arrow__(self, stored):
        return Money(Money.read(stored))


class Money(ExtensionArray):
    write = staticmethod(list)
    read = staticmethod(list)

    def __init__(self, values):
        self.values = np.array([*values, None], dtype=object)[:-1]

    dtype = MoneyType()
    nbytes = 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, place):
        found = self.values[place]
        return Money(found) if isinstance(found, np.ndarray) else found

    def isna(self):
        return np.array([value is None for value in self.values], dtype=bool)

    def copy(self):
        return Money(self.values)

    @classmethod
    def _from_sequence(cls, values, **_):
        return cls(values)

    def take(self, places, *, allow_fill=False, fill_value=None):
        return Money(self.values[place] for place in places)

    def __arrow_array__(self, **_):
        return Money.write(self.values)


def cents(values):
    return pa.array([None if value is None else int(value * 100) for value in values])


def of_cents(stored):
    return [None if value is None else Decimal(value) / 100 for value in stored.to_pylist()]


def raising(error):
    def convert(values):
        raise error

    return convert


GIVEN = pd.DataFrame({"n": [1, 2, 3], "odd": Money([Decimal("1.1"), Decimal("2.25"), None])})


def registered(client, monkeypatch, write, read):
    monkeypatch.setattr(Money, "write", staticmethod(write))
    monkeypatch.setattr(Money, "read", staticmethod(read))
    return Dataset.register(client, "t", GIVEN)


def test_a_type_that_keeps_its_values_comes_back(client, monkeypatch):
    found = registered(client, monkeypatch, cents, of_cents).to_pandas()
    assert found.dtypes.to_dict() == GIVEN.dtypes.to_dict()
    assert list(found["odd"]) == list(GIVEN["odd"])


CHANGES = {
    "another value": (lambda found: [Decimal(1) for _ in found], r"Decimal\('1.1'\).* as Decimal\('1'\)"),
    "another value in a later row": (lambda found: found[:1] + [2.25, None][: len(found) - 1], r"as 2.25 \(float"),
    "another missing value": (lambda found: [np.nan if value is None else value for value in found], "as nan"),
    "fewer values": (lambda found: found[:1], "3 values would come back as 1"),
}


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
def test_a_value_that_would_come_back_otherwise_is_refused(client, tmp_path, monkeypatch, change, told):
    with pytest.raises(InvalidInputError, match=f"column 'odd': .*{told}"):
        registered(client, monkeypatch, cents, lambda stored: change(of_cents(stored)))
    assert not (tmp_path / "store").exists()


ERRORS = [NotImplementedError("not yet"), ValueError("not so"), pa.ArrowCapacityError("too much")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("where", ["write", "read"])
def test_a_type_that_cannot_be_converted_is_refused(client, tmp_path, monkeypatch, error, where):
    with pytest.raises(InvalidInputError, match=f"column 'odd'.* cannot be stored as Parquet: {error}") as caught:
        registered(client, monkeypatch, **{"write": cents, "read": list, where: raising(error)})
    assert "column 'n'" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_a_lack_of_memory_is_not_blamed_on_the_table(client, tmp_path, monkeypatch):
    with pytest.raises(MemoryError):
        registered(client, monkeypatch, raising(pa.lib.ArrowMemoryError("malloc")), list)
    assert not (tmp_path / "store").exists()


def test_the_reason_why_a_column_cannot_be_stored_is_one_sentence(client):
    with pytest.raises(InvalidInputError) as caught:
        Dataset.register(client, "mixed", pd.DataFrame({"odd": [1, "a"]}))
    assert caught.value.message == (
        "column 'odd' cannot be stored as Parquet: Could not convert 'a' with type str: tried to convert to int64; "
        "nothing was registered"
    )
