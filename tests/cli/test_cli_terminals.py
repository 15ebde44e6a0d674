"""Terminals: narrow ones, ones without colours, and what is shown while something goes on."""

from __future__ import annotations

import os
import pty
import re
import subprocess

import pytest
from cli_process import COMMAND, SECONDS, call, clean_environment, damage
from rich.cells import cell_len

from metamlflow import MetaMLFlowClient
from metamlflow.artifacts import Progress
from metamlflow.cli.tables import Table, lines_of

ENVIRONMENT = {"METAMLFLOW_STORAGE_URI": "store", "METAMLFLOW_USER": "ada"}
NAME = "team/some/rather-long-name-of-a-dataset"
ESCAPE = "\x1b"


def on_a_terminal(*arguments: str, cwd, **more: str) -> tuple[int, str]:
    """Run the command with a terminal as its stdout and stderr; return its exit code and all that was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *arguments],
        cwd=cwd, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        env=clean_environment(**{**ENVIRONMENT, "COLUMNS": "100", **more}),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # Linux's way to say that the other side of a terminal was closed
        pass
    os.close(ours)
    return process.wait(SECONDS), shown.decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a store of two names, one of them long, with files in scripts of several widths."""
    place = tmp_path_factory.mktemp("terminals")
    client = MetaMLFlowClient(place / "store")
    files = {"数据训练集合的名字.csv": b"1", "🚲🚲.txt": b"2", "e\u0301te\u0301.txt": b"3", "plain.txt": b"4"}
    client.register_artifact(NAME, files, "dataset")
    client.register_artifact("bikes/rides", b"5")
    client.register_artifact("bikes/rides", b"6")
    (place / "big.bin").write_bytes(os.urandom(3_000_000))
    return place


@pytest.mark.full
@pytest.mark.parametrize(
    "command", [["ls", "nobody/"], ["search", "name = 'nobody'"], ["runs", "nobody"]], ids=" ".join
)
def test_an_empty_list_says_so_on_a_terminal_and_is_empty_in_a_pipe(folder, command):
    pytest.importorskip("pyarrow")
    assert on_a_terminal(*command, cwd=folder) == (0, "nothing to list\n")
    answer = call(*command, cwd=folder, **ENVIRONMENT)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, b"", b"")


def test_a_column_is_aligned_to_the_right_only_if_it_holds_numbers_alone(folder):
    client = MetaMLFlowClient(folder / "runs")
    for rate in (3, 0.25):
        with client.run("train", params={"rate": rate}):
            pass
    ids = [record.start.run_id for record in client.runs("train")]
    _, shown = on_a_terminal("runs", "--compare", *ids, "--store", "runs", cwd=folder, NO_COLOR="1", COLUMNS="300")
    lines = shown.splitlines()
    begin = lines[0].index(ids[1][:8])
    found = {line.split()[0]: line[begin:] for line in lines}
    assert (found["name"], found["params.rate"]) == ("train", "3")


# --- width ------------------------------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_names_stay_whole_however_narrow_a_terminal_is(folder, width):
    code, shown = on_a_terminal("ls", cwd=folder, COLUMNS=str(width), NO_COLOR="1")
    assert code == 0
    lines = shown.splitlines()
    assert any(NAME in line for line in lines)
    assert all(line.split()[:1] != ["a-dataset"] for line in lines)
    (row,) = [line for line in lines if line.startswith("bikes/rides")]
    assert row.split()[1] == "2", "the version stays, too"
    for line in lines:
        assert cell_len(line) <= width or "no room" in line
    gone = re.findall(r"^no room for (.+); a pipe and --json have all$", shown, re.MULTILINE)
    assert bool(gone) == (width < 100)


@pytest.mark.full
@pytest.mark.parametrize(
    ("width", "command"),
    [(40, ("show", NAME)), (80, ("show", NAME)), (60, ("doctor",)), (40, ("history", "bikes/rides"))],
)
def test_words_are_never_broken(folder, width, command):
    _, wide = on_a_terminal(*command, cwd=folder, COLUMNS="1000", NO_COLOR="1")
    _, shown = on_a_terminal(*command, cwd=folder, COLUMNS=str(width), NO_COLOR="1")
    words = set(re.findall(r"[\w/.:,-]{12,}", shown)) - {word for word in re.findall(r"\S+", shown) if "…" in word}
    free = re.compile(r"[\d,]+|sha256:[0-9a-f]{12}")  # bytes that are free now; a digest that is shortened
    assert {word for word in words if word not in wide and not free.fullmatch(word)} == set()


@pytest.mark.full
def test_a_pipe_is_given_everything_whatever_columns_says(folder):
    wide = call("ls", cwd=folder, COLUMNS="500", **ENVIRONMENT).stdout
    assert call("ls", cwd=folder, COLUMNS="20", **ENVIRONMENT).stdout == wide
    assert all(line.count(b"\t") == 6 for line in wide.splitlines())


def test_wide_and_combining_characters_align(folder):
    _, shown = on_a_terminal("show", NAME, cwd=folder, NO_COLOR="1", COLUMNS="160")
    rows = [line for line in shown.splitlines() if line.startswith("entry")]
    assert len(rows) == 4
    places = {cell_len(line[: line.index("1 byte")]) for line in rows}
    assert len(places) == 1


TABLE = Table(
    ("NAME", "VERSION", "NOTE", "BY"),
    [("a/very/long/name", "1", "some words here", "ada"), ("b", "12", "", "bob")],
    frozenset({1}),
    ("BY", "NOTE"),
)
DRAWN = {
    50: ["NAME              VERSION  NOTE             BY", "a/very/long/name        1  some words here  ada"],
    43: ["NAME              VERSION  NOTE", "a/very/long/name        1  some words here"],
    26: ["NAME              VERSION", "a/very/long/name        1"],
    20: ["NAME  VERSION", "a/very/long/name  1"],
    17: ["NAME  VERSION", "a/very/long/name", "    1"],
    10: ["NAME  VERSION", "a/very/long/name", "    1"],
}


@pytest.mark.parametrize(("width", "lines"), DRAWN.items(), ids=map(str, DRAWN))
def test_columns_go_in_their_order_where_room_is_short(width, lines):
    drawn, gone = lines_of(TABLE, width)
    assert drawn[: len(lines)] == lines
    assert list(gone) == {50: [], 43: ["BY"]}.get(width, ["BY", "NOTE"])


def test_a_table_without_rows_is_its_titles_and_one_of_nothing_is_nothing():
    assert lines_of(Table(("A", "B"), []), 80) == (["A  B"], [])
    assert lines_of(Table((), []), 80) == ([], [])


def test_a_text_is_wrapped_beside_the_others_or_below_them():
    rows = [("key", "one two three four five six seven eight")]
    assert lines_of(Table((), rows), 32)[0] == ["key  one two three four five six", "     seven eight"]
    assert lines_of(Table((), rows), 20)[0] == ["key", "    one two three", "    four five six", "    seven eight"]


def test_no_column_is_omitted_for_a_long_text_that_is_wrapped_beside_it():
    titles, text = ("NUMBER", "BY", "NOTE"), "a reason of many words " * 20
    table = Table(titles, [("1", "ada", text), ("12", "bob", "")], frozenset({0}), titles[:2])
    drawn, gone = lines_of(table, 80)
    assert (drawn[0], list(gone)) == ("NUMBER  BY   NOTE", [])
    assert max(map(len, drawn)) <= 80
    assert "".join(drawn).count("reason") == 20
    numbers = Table(("BY", "BYTES"), [("ada", "1" * 70), ("a" * 30, "2")], frozenset({1}), ("BY",))
    assert list(lines_of(numbers, 80)[1]) == ["BY"], "a number is not wrapped"
    assert list(lines_of(table, 20)[1]) == ["NUMBER", "BY"], "there is no room beside"


# --- colours ----------------------------------------------------------------------------------------------------------

PLAIN = {
    "NO_COLOR": {"NO_COLOR": "1"},
    "NO_COLOR against FORCE_COLOR": {"NO_COLOR": "1", "FORCE_COLOR": "1"},
    "a dumb terminal": {"TERM": "dumb"},
    "a dumb terminal against FORCE_COLOR": {"TERM": "dumb", "FORCE_COLOR": "1"},
    "CLICOLOR": {"CLICOLOR": "0"},
}
SHOWN = {
    "a table": ("ls",),
    "an error": ("show", "nobody"),
    "a wrong option": ("ls", "--nope"),
    "the demo": ("demo",),
    "the help": ("--help",),
}


PAIRS = [("NO_COLOR", what) for what in SHOWN] + [(name, what) for name in PLAIN for what in ("a table", "an error")]


@pytest.mark.full
@pytest.mark.parametrize(("variables", "what"), list(dict.fromkeys(PAIRS)))
def test_no_colour_means_no_attribute_at_all(folder, variables, what):
    _, shown = on_a_terminal(*SHOWN[what], cwd=folder, **PLAIN[variables])
    assert shown
    assert ESCAPE not in shown


@pytest.mark.full
def test_progress_without_colours_moves_the_cursor_and_no_more(folder):
    code, shown = on_a_terminal("register", "plain", "big.bin", cwd=folder, NO_COLOR="1")
    assert code == 0
    assert "registering" in shown
    assert not re.search(r"\x1b\[[0-9;]*m", shown)
    code, shown = on_a_terminal("register", "dumb", "big.bin", cwd=folder, TERM="dumb")
    assert (code, shown) == (0, "dumb@1\n"), "what cannot be taken back is not drawn"


@pytest.mark.full
@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR"])
def test_an_empty_variable_says_nothing(folder, variable):
    assert ESCAPE in on_a_terminal("show", "nobody", cwd=folder, **{variable: ""})[1]
    assert ESCAPE.encode() not in call("show", "nobody", cwd=folder, **ENVIRONMENT, **{variable: ""}).stderr


@pytest.mark.full
def test_forced_colours_reach_what_people_read_and_no_data(folder):
    for variable in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        forced = {variable: "1", **ENVIRONMENT}
        assert b"\x1b[1;31merror:" in call("show", "nobody", cwd=folder, **forced).stderr
        assert b"\x1b[" in call("demo", cwd=folder, **forced).stdout
        assert b"\x1b" not in call("ls", cwd=folder, **forced).stdout
        assert b"\x1b" not in call("show", NAME, "--json", cwd=folder, **forced).stdout


# --- progress ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 60, 100])
def test_progress_stays_in_one_line_and_says_what_goes_on_at_its_end(folder, width):
    code, shown = on_a_terminal("register", f"big/{width}", "big.bin", cwd=folder, COLUMNS=str(width), NO_COLOR="1")
    assert code == 0
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    frames = [frame.strip() for frame in re.split(r"[\r\n]+", drawn) if frame.strip()]
    assert frames[0].startswith("registering")
    assert any(frame.startswith("committing…") for frame in frames)
    assert not any(frame.startswith("registering") and "3.0/3.0 MB" in frame for frame in frames[1:])
    assert all(cell_len(frame) <= width for frame in frames)
    assert shown.count("\n") <= 3, "no frame took two lines"


@pytest.mark.full
def test_a_download_says_so_too(folder):
    call("register", "big/get", "big.bin", cwd=folder, **ENVIRONMENT)
    code, shown = on_a_terminal("get", "big/get", f"out-{os.getpid()}", cwd=folder, NO_COLOR="1")
    assert code == 0
    assert "putting in place…" in shown


COUNTED = {
    "nothing known": (Progress("register"), False),
    "in the middle": (Progress("register", 1, 5, 2, 10), False),
    "all bytes of a large file": (Progress("register", 0, 10, 1, 10), True),
    "all files": (Progress("register", 2, 10, 2, 10), True),
    "empty files": (Progress("register", 2, 0, 2, 0), True),
    "empty files, not all": (Progress("register", 1, 0, 2, 0), False),
    "more than was expected, as of a stream": (Progress("register", 0, 20, 1, 10), False),
    "a stream at its end": (Progress("register", 1, 20, 1, 0), True),
}


@pytest.mark.parametrize(("state", "expected"), COUNTED.values(), ids=COUNTED)
def test_a_callback_is_told_when_everything_was_counted(state, expected):
    assert state.finishing is expected


def test_a_damaged_file_is_told_on_a_narrow_terminal(folder, tmp_path):
    MetaMLFlowClient(tmp_path / "store").register_artifact("a", b"content")
    damage(tmp_path / "store")
    code, shown = on_a_terminal("verify", "a", cwd=tmp_path, COLUMNS="40", NO_COLOR="1")
    assert code == 1
    assert "modified" in shown


def test_a_repair_is_told_in_words(tmp_path):
    files = {"a.txt": b"content", "b.txt": b"other"}
    MetaMLFlowClient(tmp_path / "store").register_artifact("a", files)
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.txt").write_bytes(b"content")
    for path in (tmp_path / "store" / "blobs").rglob("*.txt"):
        path.unlink()
    code, shown = on_a_terminal("repair", "a", "--from", "good", cwd=tmp_path, NO_COLOR="1", TERM="dumb")
    assert code == 1
    assert shown.startswith("failed  a@1  1 repaired, 1 damaged\n  repaired: a.txt\n    object    blobs/sha256/")
    assert "\n  damaged: b.txt\n" in shown
    assert re.search(r"^    reason    \S+", shown, re.MULTILINE)
