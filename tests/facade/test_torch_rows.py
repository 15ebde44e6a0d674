"""A data set in PyTorch: each row in exactly one worker of one rank, shuffled by a seed."""

from __future__ import annotations

import pickle
from collections import Counter

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metamlflow import Dataset
from metamlflow.errors import ArtifactNotFoundError, InvalidInputError

pytestmark = pytest.mark.full  # PyTorch alone takes seconds to load
torch = pytest.importorskip("torch", reason="needs torch, which no extra brings because of its size: pip install torch")
DataLoader = torch.utils.data.DataLoader
ROWS = 600


@pytest.fixture
def rides(client, tmp_path):
    """Two files, each with six row groups of fifty rows."""
    files = {}
    for number in range(2):
        start = number * 300
        table = pa.table(
            {
                "n": range(start, start + 300),
                "half": [value / 2 for value in range(start, start + 300)],
                "city": ["Bern", "Oslo", None] * 100,
                "place": pa.array([[value, -value] for value in range(300)], pa.list_(pa.int64(), 2)),
            }
        )
        files[f"{number}.parquet"] = tmp_path / f"{number}.parquet"
        pq.write_table(table, files[f"{number}.parquet"], row_group_size=50)
    return Dataset.register(client, "rides", files)


def numbers(rows):
    return [int(row["n"]) for row in rows]


@pytest.mark.parametrize("shuffle", [None, 7])
@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_each_row_is_in_exactly_one_worker_of_one_rank(rides, workers, world_size, shuffle):
    seen: Counter[int] = Counter()
    for rank in range(world_size):
        rows = rides.torch(["n"], shuffle=shuffle, rank=rank, world_size=world_size)
        seen.update(numbers(DataLoader(rows, batch_size=None, num_workers=workers)))
    assert seen == Counter(range(ROWS))


def test_workers_that_are_spawned_read_the_same(rides):
    loader = DataLoader(rides.torch(["n"]), batch_size=10, num_workers=2, multiprocessing_context="spawn")
    assert sorted(int(value) for batch in loader for value in batch["n"]) == list(range(ROWS))


def test_many_files_are_dealt_out_whole_and_few_by_row_group(client):
    frames = (pd.DataFrame({"n": range(start, start + 5)}) for start in range(0, 100, 5))
    many = Dataset.register(client, "many", frames)
    shares = [numbers(many.torch(["n"], rank=rank, world_size=2)) for rank in range(2)]
    assert sorted(shares[0] + shares[1]) == list(range(100))
    assert {len(share) for share in shares} == {50}


def test_the_order_depends_on_the_seed_and_the_epoch_alone(rides):
    assert numbers(rides.torch(["n"])) == list(range(ROWS))
    first, same, other = (rides.torch(["n"], shuffle=seed) for seed in (1, 1, 2))
    order = numbers(first)
    assert order == numbers(same) == numbers(first)
    assert sorted(order[:50]) == list(range(order[0] // 50 * 50, order[0] // 50 * 50 + 50)), "a row group"
    assert order[:50] != sorted(order[:50]), "whose rows are mixed"
    assert order != numbers(other)
    first.set_epoch(1)
    assert sorted(numbers(first)) == list(range(ROWS))
    assert numbers(first) != order
    first.set_epoch(0)
    assert numbers(first) == order


def test_workers_that_persist_see_the_next_epoch(rides):
    rows = rides.torch(["n"], shuffle=1)
    loader = DataLoader(rows, batch_size=None, num_workers=1, persistent_workers=True)
    first = numbers(loader)
    rows.set_epoch(1)
    assert numbers(loader) != first


def test_batches_are_tensors_of_numbers_and_lists_of_other_values(rides):
    batches = list(DataLoader(rides.torch(batch_size=32), batch_size=None))
    assert torch.cat([batch["n"] for batch in batches]).equal(torch.arange(ROWS))
    assert batches[0]["half"].dtype == torch.float64
    assert batches[0]["city"][:3] == ["Bern", "Oslo", None]
    assert batches[0]["place"][:3].tolist() == [[0, 0], [1, -1], [2, -2]]
    batches[0]["n"][0] = 5  # writable, and nobody else's


def test_rows_are_dicts_of_python_values(rides):
    row = next(iter(rides.torch()))
    assert row == {"n": 0, "half": 0.0, "city": "Bern", "place": [0, 0]}


def test_a_partitioned_data_set_has_its_columns(client):
    dataset = Dataset.register(client, "t", pd.DataFrame({"n": range(6), "g": ["a", "b"] * 3}), partition_by="g")
    assert sorted((row["g"], row["n"]) for row in dataset.torch()) == [
        (g, n) for g in "ab" for n in range(6) if n % 2 == "ab".index(g)
    ]


def test_text_files_are_read_too(client):
    dataset = Dataset.register(client, "t", {"a.csv": b"n\n1\n2\n", "b.csv": b"n\n3\n"})
    assert sorted(numbers(dataset.torch())) == [1, 2, 3]


def test_the_launcher_of_processes_tells_the_rank(rides, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    rows = rides.torch(["n"])
    monkeypatch.delenv("RANK")
    assert len(numbers(pickle.loads(pickle.dumps(rows)))) == ROWS // 2


@pytest.mark.parametrize(("rank", "world_size"), [(1, None), (None, 2), (2, 2), (-1, 2)])
def test_an_impossible_rank_is_refused(rides, rank, world_size):
    with pytest.raises(InvalidInputError, match="world_size"):
        rides.torch(rank=rank, world_size=world_size)


def test_what_cannot_be_read_is_refused_before_a_worker_starts(rides):
    with pytest.raises(ArtifactNotFoundError):
        rides.torch(path="train")
