from __future__ import annotations

import bz2
import gzip
import io
import json
import logging
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metamlflow.errors import StorageUnavailableError
from metamlflow.model.metadata import decode, encode
from metamlflow.store.ingest.schemas import (
    MAX_COLUMNS,
    MAX_SCHEMA_BYTES,
    SAMPLE_BYTES,
    arrow_schema_to_json,
    capture_schema,
    is_data_file,
)

MIB = 1024 * 1024


class CountingFile(io.RawIOBase):
    """A file that counts what is read of it, and hands out at most ``most`` bytes at a time."""

    def __init__(self, file, most=64 * 1024):
        self.file, self.most, self.count = file, most, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        return self.file.seek(offset, whence)

    def tell(self):
        return self.file.tell()

    def readinto(self, buffer):
        data = self.file.read(min(len(buffer), self.most))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)

    def close(self):
        self.file.close()
        super().close()


def capture(path, data):
    schema = capture_schema(path, lambda: io.BytesIO(data))
    # What a manifest will hold is what was captured.
    assert encode(schema) == schema
    assert decode(json.loads(json.dumps(schema))) == schema
    return schema


def types(schema):
    return {field["name"]: field["type"] for field in schema["fields"]}


def field(name, kind, *, nullable=True):
    return {"name": name, "type": kind, "nullable": nullable}


def parquet(table):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def run(code):
    """Run code in a fresh interpreter; return what it printed."""
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


# --- what is captured -------------------------------------------------------------------------------------------------

CSV = b"id,price,name,seen,none\n1,1.5,a,2024-01-01,\n2,,b,2024-01-02,\n"
CSV_TYPES = {"id": "int64", "price": "double", "name": "string", "seen": "date32[day]", "none": "null"}
JSONL = b'{"id": 1, "tags": ["a"], "at": {"x": 1.5}}\n{"id": 2, "tags": [], "late": true}\n'
JSONL_TYPES = {"id": "int64", "tags": "list<item: string>", "at": "struct<x: double>", "late": "bool"}

READABLE = {
    "data.csv": (CSV, "csv", CSV_TYPES),
    "folder.d/DATA.CSV": (CSV, "csv", CSV_TYPES),
    "data.tsv": (CSV.replace(b",", b"\t"), "csv", CSV_TYPES),
    "data.csv.gz": (gzip.compress(CSV), "csv", CSV_TYPES),
    "two members.csv.gz": (gzip.compress(CSV[:30]) + gzip.compress(CSV[30:]), "csv", CSV_TYPES),
    "data.tsv.gz": (gzip.compress(CSV.replace(b",", b"\t")), "csv", CSV_TYPES),
    "data.csv.bz2": (bz2.compress(CSV), "csv", CSV_TYPES),
    "data.csv.zst": (pa.Codec("zstd").compress(CSV, asbytes=True), "csv", CSV_TYPES),
    "data.jsonl": (JSONL, "jsonl", JSONL_TYPES),
    "data.ndjson": (JSONL, "jsonl", JSONL_TYPES),
    "data.jsonl.gz": (gzip.compress(JSONL), "jsonl", JSONL_TYPES),
    "no last newline.jsonl": (JSONL.rstrip(), "jsonl", JSONL_TYPES),
    "byte order mark.csv": (b"\xef\xbb\xbf" + CSV, "csv", CSV_TYPES),
    "windows.csv": (CSV.replace(b"\n", b"\r\n"), "csv", CSV_TYPES),
}


@pytest.mark.parametrize("path", READABLE)
def test_a_text_file_gives_its_columns_in_order_and_their_types(path):
    data, kind, expected = READABLE[path]
    assert capture(path, data) == {
        "format": kind,
        "path": path,
        "fields": [field(name, spelled) for name, spelled in expected.items()],
    }


@pytest.mark.parametrize("path", ["data.parquet", "part-0.snappy.pq"])
def test_a_parquet_file_gives_the_schema_it_was_written_with(path):
    table = pa.table(
        {
            "id": pa.array([1], pa.int32()),
            "at": pa.array([0], pa.timestamp("us", tz="UTC")),
            "word": pa.array(["a"]).dictionary_encode(),
            "deep": pa.array([[{"x": [1]}]], pa.list_(pa.struct({"x": pa.list_(pa.int8())}))),
        },
    )
    table = table.cast(table.schema.set(0, pa.field("id", pa.int32(), nullable=False)))
    assert capture(path, parquet(table)) == {
        "format": "parquet",
        "path": path,
        "fields": [
            field("id", "int32", nullable=False),
            field("at", "timestamp[us, tz=UTC]"),
            field("word", "dictionary<values=string, indices=int32, ordered=0>"),
            field("deep", "list<element: struct<x: list<element: int8>>>"),
        ],
    }


@pytest.fixture
def tutorial_frame():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"feature_1": [0.25, 0.5], "feature_2": [3, 9], "target": [0, 1]})
    frame["new_feature"] = frame["feature_1"] * 2 + frame["feature_2"]
    return frame


def test_the_frame_of_the_tutorial_has_the_same_schema_as_csv_and_as_parquet(tutorial_frame):
    expected = [
        field("feature_1", "double"),
        field("feature_2", "int64"),
        field("target", "int64"),
        field("new_feature", "double"),
    ]
    sink = io.BytesIO()
    tutorial_frame.to_parquet(sink)
    assert capture("a.csv", tutorial_frame.to_csv(index=False).encode())["fields"] == expected
    assert capture("a.parquet", sink.getvalue())["fields"] == expected


def test_an_index_that_pandas_wrote_is_a_column_like_others(tutorial_frame):
    sink = io.BytesIO()
    tutorial_frame.set_axis(["x", "y"]).to_parquet(sink)
    assert list(types(capture("a.parquet", sink.getvalue())))[-1] == "__index_level_0__"


def test_a_csv_of_a_header_alone_has_columns_of_no_type():
    assert types(capture("a.csv", b"a,b\n")) == {"a": "null", "b": "null"}
    assert types(capture("a.csv", b"a,b")) == {"a": "null", "b": "null"}


def test_a_schema_without_columns_is_one():
    assert capture("a.parquet", parquet(pa.table({})))["fields"] == []
    assert capture("a.jsonl", b"{}\n")["fields"] == []


def test_columns_of_one_name_are_all_kept():
    assert [f["name"] for f in capture("a.csv", b"a,a,$a\n1,x,2\n")["fields"]] == ["a", "a", "$a"]


def test_names_that_are_no_ascii_are_kept():
    assert types(capture("größe.csv", "größe,🙂\n1,2\n".encode())) == {"größe": "int64", "🙂": "int64"}


# --- what is not captured ---------------------------------------------------------------------------------------------

UNTELLABLE = {
    "empty.csv": b"",
    "empty.jsonl": b"",
    "empty.parquet": b"",
    "empty.csv.gz": b"",
    "nothing packed.csv.gz": gzip.compress(b""),
    "blank lines.csv": b"\n\r\n\n",
    "blank lines.jsonl": b"\n\n",
    "ragged.csv": b"a,b\n1,2,3\n",
    "field too long for the header.csv": b"a" * 200_000 + b",b\n1,2\n",
    "utf-16.csv": "a,b\n1,2\n".encode("utf-16"),
    "utf-16 without its mark.csv": "a,b\n1,2\n".encode("utf-16-le"),
    "latin-1 header.csv": "größe\n1\n".encode("latin-1"),
    "not json.jsonl": b"a,b\n1,2\n",
    "arrays.jsonl": b"[1, 2]\n",
    "cut off.jsonl": b'{"a": 1}\n{"a": ',
    "two types.jsonl": b'{"a": 1}\n{"a": "x"}\n',
    "key twice.jsonl": b'{"a": 1, "a": 2}\n',
    "surrogate.jsonl": b'{"\\ud800": 1}\n',
    "invalid key.jsonl": b'{"\xff": 1}\n',
    "unbalanced.jsonl": b'}]"a": ]{\n',
    "not packed.csv.gz": CSV,
    "cut off.csv.gz": gzip.compress(CSV * 100)[:-20],
    "not packed.csv.bz2": CSV,
    "not packed.csv.zst": CSV,
    "text.parquet": CSV,
    "tiny.parquet": b"PAR1",
    "no footer.parquet": b"PAR1" + b"\x00" * 20 + b"\x00\x00\x00\x00PAR1",
    "wild footer.parquet": b"PAR1" + b"\xff" * 200 + b"\xc8\x00\x00\x00PAR1",
    "footer longer than the file.parquet": b"PAR1" + b"\x00" * 20 + b"\x00\x10\x00\x00PAR1",
    "footer longer than the limit.parquet": b"PAR1" + b"\x00" * 20 + b"\xff\xff\xff\x7fPAR1",
    "cut off.parquet": parquet(pa.table({"a": [1]}))[:-20],
    "encrypted.parquet": b"PARE" + b"\x00" * 20 + b"\x10\x00\x00\x00PARE",
}


@pytest.mark.parametrize("path", UNTELLABLE)
def test_what_does_not_read_as_its_name_says_gives_none_and_a_debug_line(path, caplog):
    with caplog.at_level(logging.DEBUG, "metamlflow"):
        assert capture(path, UNTELLABLE[path]) is None
    (record,) = caplog.records
    assert record.name == "metamlflow.store.ingest.schemas"
    assert record.levelno == logging.DEBUG
    assert path in record.getMessage()


def test_the_debug_line_quotes_no_data(caplog):
    with caplog.at_level(logging.DEBUG, "metamlflow"):
        assert capture("a.csv", b"a,b\n1,2,my-secret\n") is None
    assert "secret" not in caplog.text


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), StorageUnavailableError("no answer")], ids=repr)
def test_a_file_that_does_not_open_gives_none(error):
    def open_file():
        raise error

    assert capture_schema("a.csv", open_file) is None


def test_a_stream_that_cannot_seek_gives_none_for_parquet():
    class Stream(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, offset, whence=io.SEEK_SET):
            raise io.UnsupportedOperation("seek")

    assert capture_schema("a.parquet", lambda: Stream(parquet(pa.table({"a": [1]})))) is None


OTHERS = ["model.pkl", "README", "csv", "a.csv.xz", "a.json", "a.parquet.gz", "data.csv/part-0", "a.csv~", "", "x.gz"]


@pytest.mark.parametrize("path", OTHERS)
def test_files_of_other_names_are_not_opened(path):
    assert not is_data_file(path)
    assert capture_schema(path, lambda: pytest.fail("it was opened")) is None


@pytest.mark.parametrize("path", READABLE)
def test_files_that_have_a_schema_are_known_by_their_name(path):
    assert is_data_file(path)


def test_pyarrow_is_not_imported_for_files_of_other_names():
    printed = run(
        f"""
        import sys
        from metamlflow.store.ingest.schemas import capture_schema, is_data_file
        assert [capture_schema(path, None) for path in {OTHERS!r}] == [None] * {len(OTHERS)}
        assert is_data_file("a.csv") and is_data_file("a.parquet")
        print("pyarrow" in sys.modules)
        """
    )
    assert printed == "False"


def test_without_pyarrow_there_is_no_schema_and_no_error():
    printed = run(
        """
        import io, logging, sys
        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "pyarrow":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Blocker())
        logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
        from metamlflow.store.ingest.schemas import capture_schema
        print(capture_schema("a.csv", lambda: io.BytesIO(b"a\\n1\\n")))
        """
    )
    assert printed.splitlines() == [
        "DEBUG metamlflow.store.ingest.schemas no schema of a.csv: pyarrow is not installed",
        "None",
    ]


# --- large files ------------------------------------------------------------------------------------------------------


def long_rows(row, size=2 * SAMPLE_BYTES):
    return row * (size // len(row) + 1)


def test_little_of_a_large_csv_is_read(tmp_path):
    large = tmp_path / "large.csv"
    with large.open("wb") as file:
        file.write(b"a,b\n" + long_rows(b"1,1.5\n"))
        file.truncate(200 * MIB)
    opened = CountingFile(large.open("rb"))
    schema = capture_schema("large.csv", lambda: opened)
    assert types(schema) == {"a": "int64", "b": "double"}
    assert schema["sampled"] is True
    assert SAMPLE_BYTES <= opened.count < 2 * MIB
    assert opened.closed


def test_little_of_a_compressed_file_that_unpacks_to_much_is_read(tmp_path):
    packed = gzip.compress(b"a,b\n" + long_rows(b"1,1.5\n", 50 * MIB), 1)
    opened = CountingFile(io.BytesIO(packed))
    schema = capture_schema("large.csv.gz", lambda: opened)
    assert types(schema) == {"a": "int64", "b": "double"}
    assert opened.count < len(packed) / 2


def test_only_the_end_of_a_large_parquet_file_is_read(tmp_path):
    large = tmp_path / "large.parquet"
    numbers = pa.array(np.arange(2 * MIB))
    table = pa.table({"a": numbers, "b": numbers.cast("string")})
    pq.write_table(table, large, compression="none")
    assert large.stat().st_size > 20 * MIB
    opened = CountingFile(large.open("rb"))
    assert types(capture_schema("large.parquet", lambda: opened)) == {"a": "int64", "b": "string"}
    assert opened.count < MIB


def test_types_come_from_the_first_block_alone():
    data = b"a\n" + long_rows(b"12345\n") + b"no number\n"
    assert capture("a.csv", data) == {
        "format": "csv",
        "path": "a.csv",
        "fields": [field("a", "int64")],
        "sampled": True,
    }
    assert capture("a.jsonl", long_rows(b'{"a": 1}\n') + b"no JSON\n")["sampled"] is True


@pytest.mark.parametrize("beyond", [0, 1], ids=["exactly a block", "a byte more"])
def test_a_file_of_a_block_is_not_called_sampled(beyond):
    data = b"a\n" + b"1" * 9 + b"\n" * (SAMPLE_BYTES - 11 + beyond)
    assert len(data) == SAMPLE_BYTES + beyond
    assert ("sampled" in capture("a.csv", data)) == bool(beyond)


LONG = b"x" * (SAMPLE_BYTES + 10)


@pytest.mark.parametrize(
    ("path", "data"),
    {
        "a header": ("a.csv", LONG + b",b\n1,2\n"),
        "the first row": ("a.csv", b"a,b\n" + LONG + b",2\n"),
        "the first row in quotes": ("a.csv", b'a,b\n"x\n' + LONG + b'",2\n'),
        "an object": ("a.jsonl", b'{"a": "' + LONG + b'"}\n'),
    }.values(),
    ids=["header", "first row", "quoted first row", "object"],
)
def test_a_first_row_longer_than_a_block_gives_none(path, data):
    assert capture(path, data) is None


QUOTED_ROW = b'1,"say ""hi""\nand\nso on",2.5\n'


@pytest.mark.parametrize("shift", range(len(QUOTED_ROW)))
def test_a_block_may_end_anywhere_in_a_row_with_quoted_line_breaks(shift):
    data = b"id,text,score\n1,a,0." + b"1" * shift + b"1\n" + long_rows(QUOTED_ROW)
    assert types(capture("a.csv", data)) == {"id": "int64", "text": "string", "score": "double"}


def test_a_stray_quote_does_not_hide_the_rows_after_it():
    data = b'a,b\n5" pipe,\n' + long_rows(b"x,1\n")
    assert types(capture("a.csv", data)) == {"a": "string", "b": "int64"}


# --- wide and hostile files -------------------------------------------------------------------------------------------


def test_columns_past_the_limit_are_left_out_of_a_parquet_schema():
    wide = pa.table({f"c{i}": pa.array([1]) for i in range(MAX_COLUMNS + 1)})
    schema = capture("wide.parquet", parquet(wide))
    assert schema["truncated"] is True
    assert [f["name"] for f in schema["fields"]] == wide.column_names[:MAX_COLUMNS]


def test_a_schema_stays_small_whatever_its_names_and_types():
    names = [f"{i}{'é' * 1000}" for i in range(1000)]
    schema = arrow_schema_to_json(pa.schema([(name, pa.int64()) for name in names]))
    assert schema["truncated"] is True
    assert len(schema["fields"]) == MAX_SCHEMA_BYTES // (2000 + 3 + len("int64"))
    huge = pa.struct([(f"f{i}", pa.int8()) for i in range(100_000)])
    assert arrow_schema_to_json(pa.schema([("a", pa.int8()), ("b", huge)])) == {
        "fields": [field("a", "int8")],
        "truncated": True,
    }


@pytest.mark.parametrize(("columns", "told"), [(MAX_COLUMNS, True), (MAX_COLUMNS + 1, False)])
def test_text_of_too_many_columns_gives_none(columns, told):
    names = [f"c{i}" for i in range(columns)]
    assert (capture("a.csv", ",".join(names).encode() + b"\n" + b"1," * (columns - 1) + b"1\n") is not None) == told
    assert (capture("a.jsonl", json.dumps(dict.fromkeys(names, 1)).encode()) is not None) == told


def test_a_header_of_many_columns_is_seen_behind_blank_lines_and_quotes():
    header = b'\n\n"a\nb",' + b"c," * MAX_COLUMNS + b"c\n"
    assert capture("a.csv", header) is None


@pytest.mark.parametrize(("depth", "told"), [(63, True), (64, False), (500_000, False)])
def test_deep_nesting_gives_none_and_does_not_end_the_process(depth, told):
    printed = run(
        f"""
        import io
        from metamlflow.store.ingest.schemas import capture_schema
        lists = b'{{"a": ' + b"[" * {depth} + b"]" * {depth} + b"}}"
        objects = b'{{"a":' * min({depth}, 80_000) + b"{{}}" + b"}}" * min({depth}, 80_000)
        for data in (lists, objects, b'{{"b": "[{{"}}\\n' + lists):
            print(capture_schema("a.jsonl", lambda: io.BytesIO(data)) is not None)
        """
    )
    assert printed.split() == [str(told)] * 3


def test_brackets_in_strings_are_no_nesting():
    key = "b\\" + "]{" * 100
    data = json.dumps({"a": "[{" * 100 + '\\"', key: 1}).encode()
    assert types(capture("a.jsonl", data)) == {"a": "string", key: "int64"}


HOSTILE = {
    "a new key in each row": r"""b"".join(b'{"%x": 1}\n' % i for i in range(70_000))""",
    "many keys, then many rows": (
        r"""b"{" + b",".join(b'"%x":1' % i for i in range(4_000)) + b"}\n" + b"{}\n" * 300_000"""
    ),
    "many keys, then a long list": (
        r'''b'{"a": [{' + b",".join(b'"%x":1' % i for i in range(4_000)) + b"}" + b",{}" * 300_000 + b"]}\n"'''
    ),
    "the same keys at many places": (
        r"""b"{" + b",".join(b'"%x":{"a":1,"b":{"a":1}}' % i for i in range(1_000)) + b"}\n" + b"{}\n" * 300_000"""
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.full
@pytest.mark.parametrize("name", HOSTILE)
def test_sparse_rows_take_little_memory(name):
    printed = run(
        f"""
        import io
        import pyarrow.json
        from metamlflow.store.ingest.schemas import capture_schema
        data = {HOSTILE[name]}
        def peak():  # not getrusage, which also tells of whoever started this process
            with open("/proc/self/status") as status:
                return int(next(line.split()[1] for line in status if line.startswith("VmHWM")))
        before = peak()
        schema = capture_schema("a.jsonl", lambda: io.BytesIO(data))
        assert schema is None or schema["sampled"]
        print((peak() - before) // 1024)
        """
    )
    assert int(printed) < 150


def test_rows_that_bring_ever_new_keys_are_sampled_from_the_first_on():
    rows = [json.dumps({"id": i, f"k{i}": 1.5}) for i in range(20_000)]
    schema = capture("a.jsonl", "\n".join(rows).encode())
    assert schema["sampled"] is True
    assert schema["fields"][:2] == [field("id", "int64"), field("k0", "double")]
