from __future__ import annotations

import textwrap

import numpy as np
import pyarrow as pa
import pytest
from table_samples import parquet, run

WITHOUT = """
    import sys
    from importlib.abc import MetaPathFinder

    class Blocked(MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {blocked!r}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

    sys.meta_path.insert(0, Blocked())
    from metamlflow import MetaMLFlowClient
    from metamlflow.data import Dataset
    from metamlflow.errors import MissingDependencyError

    client = MetaMLFlowClient(sys.argv[1])
    def fails(call):
        try:
            call()
        except MissingDependencyError as error:
            print(error.extra, "pip install 'metamlflow[" + error.extra + "]'" in str(error))
"""


def without(*blocked, code, store):
    return run(textwrap.dedent(WITHOUT).format(blocked=blocked) + textwrap.dedent(code), store).splitlines()


def test_importing_the_module_loads_neither_pandas_nor_pyarrow():
    assert run("import sys, metamlflow.data; print({'pandas', 'pyarrow', 'numpy'} & set(sys.modules))") == "set()"


def test_without_either_package_files_are_registered_and_reading_names_the_extra(tmp_path):
    code = """
        dataset = Dataset.register(client, "t", {"a.csv": b"x\\n1\\n", "b.parquet": b"not looked at"})
        print(dataset.schema, dataset.files)
        fails(lambda: dataset.to_pandas("a.csv"))
        fails(lambda: dataset.to_arrow("a.csv"))
        class Table:
            def __arrow_c_stream__(self): ...
        fails(lambda: Dataset.register(client, "t", Table()))
    """
    assert without("pandas", "pyarrow", code=code, store=tmp_path / "s") == [
        "None ('a.csv', 'b.parquet')",
        "pandas True",
        "arrow True",
        "arrow True",
    ]


def test_without_pyarrow_pandas_reads_text(tmp_path):
    code = """
        import pandas as pd, gzip
        text = b"x,y\\n1,2\\n"
        dataset = Dataset.register(client, "t", {"a.csv": text, "b.csv.gz": gzip.compress(text), "c.parquet": b"",
            "d.jsonl": b'{"x": 1, "y": 2}\\n', "e.csv.zst": b""})
        for path in ("a.csv", "b.csv.gz", "d.jsonl"):
            print(dataset.to_pandas(path).to_dict("list"))
        fails(lambda: dataset.to_pandas("c.parquet"))
        fails(lambda: dataset.to_pandas("e.csv.zst"))
        fails(lambda: Dataset.register(client, "t", pd.DataFrame({"x": [1]})))
    """
    answer = without("pyarrow", code=code, store=tmp_path / "s")
    assert answer == ["{'x': [1], 'y': [2]}"] * 3 + ["pandas True"] * 3


def test_without_pandas_arrow_works(tmp_path):
    code = """
        import pyarrow as pa
        dataset = Dataset.register(client, "t", pa.table({"x": [1]}))
        print(dataset.to_arrow().to_pydict())
        fails(dataset.to_pandas)
    """
    assert without("pandas", code=code, store=tmp_path / "s") == ["{'x': [1]}", "pandas True"]


@pytest.mark.full
def test_a_full_temp_folder_is_a_clear_error_and_is_left_clean(tmp_path, temp):
    code = """
        import resource, sys
        import numpy as np, pyarrow as pa
        from metamlflow import MetaMLFlowClient
        from metamlflow.data import Dataset
        from metamlflow.errors import StorageFullError

        table = pa.table({"x": np.random.default_rng(1).random(100_000)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        try:
            Dataset.register(MetaMLFlowClient(sys.argv[1]), "t", table)
        except StorageFullError as error:
            print(error.key, "METAMLFLOW_TMPDIR" in str(error), type(error.__cause__).__name__)
    """
    whole = len(parquet(pa.table({"x": np.random.default_rng(1).random(100_000)})))
    # In the midst of the data, and in the footer.
    for limit in (100_000, whole - 10):
        assert run(code, tmp_path / "store", limit) == f"{temp} True OSError"
        assert not list(temp.iterdir())
    assert not (tmp_path / "store").exists()
