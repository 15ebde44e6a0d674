"""A value that cannot be read is blamed on the option or the variable that it came with, in the words of a shell."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from cli_process import call

from extras import need
from metamlflow import MetaMLFlowClient
from metamlflow.cli.arguments import parse_byte_rate, parse_duration, parse_rate, parse_whole
from metamlflow.errors import InvalidInputError

# What the packages below say of themselves: nothing of it helps a user.
INTERNALS = re.compile(r"Value error|Input should|unable to parse|pydantic|datetime\.|Traceback|<class|NoneType")
DIGEST = "sha256:<64 lower-case hex digits>"

WRONG = {
    "a size": ("verify bikes/rides --bytes-per-second fast", "--bytes-per-second", "MiB"),
    "a size below 0": ("verify bikes/rides --bytes-per-second -5", "--bytes-per-second", "MiB"),
    "no size at all": ("verify bikes/rides --bytes-per-second 0", "--bytes-per-second", "above 0"),
    "a rate": ("verify bikes/rides --objects-per-second some", "--objects-per-second", "above 0"),
    "a rate that is no number": ("verify bikes/rides --objects-per-second nan", "--objects-per-second", "above 0"),
    "a choice": ("verify bikes/rides --level foo", "--level", "'full', 'checksum', 'stat'"),
    "another choice": ("lineage bikes/rides --direction up", "--direction", "'both', 'upstream', 'downstream'"),
    "a choice of one argument": ("policy --role king", "--role", "'reader', 'writer', 'pruner', 'collector'"),
    "a choice of a pointer": ("pointer register p rides.csv --evidence x", "--evidence", "'stat', 'checksum', 'full'"),
    "a number": ("show bikes/rides --entries some", "--entries", "whole number from -1"),
    "a number below the least": ("show bikes/rides --entries -2", "--entries", "whole number from -1"),
    "a number of steps": ("lineage bikes/rides --depth deep", "--depth", "whole number from 0"),
    "a duration": ("init --grace soon", "--grace", "m (minutes), h, d or w"),
    "a duration of a thousand years": ("init --grace 99999w", "--grace", "3650d"),
    "a duration beyond all": ("init --grace 999999999w", "--grace", "3650d"),
    "an assignment": ("register x rides.csv --meta some", "--meta", "key=value"),
    "a file of JSON": ("register x rides.csv --meta-file rides.csv", "--meta-file", "JSON"),
    "a type": ("register x rides.csv --type a@b", "--type", "letters"),
    "a key": ("register x rides.csv --idempotency-key ", "--idempotency-key", "1 to 1000 characters"),
    "a reference": ("register x rides.csv --input a@b@c", "--input", "version number"),
    "a digest": ("pointer register p rides.csv --expected x", "--expected", DIGEST),
    "a file to write": ("lineage bikes/rides --html no/where/x", "--html", "no folder"),
    "a report to write": ("migrate store dst --markdown no/where/x", "--markdown", "no folder"),
    "a journal": ("verify bikes/rides --resume no/where/x", "--resume", "no folder"),
    "a journal that is something else": ("verify bikes/rides --resume rides.csv", "--resume", "another file"),
    "a public key": ("get bikes/rides --require-signature rides.csv", "--require-signature", "public key in PEM"),
    "a private key": ("sign bikes/rides --key rides.csv", "--key", "private key in PEM"),
    "a store": ("ls --store s3://b/p", "--store", "s3://bucket/prefix"),
    "a store of another kind": ("ls --store foo://x", "--store", "file://"),
    "an option of a store": ("ls --option k=v", "--option", "--option"),
    "a source": ("migrate s3://b dst", "SRC", "s3://bucket/prefix"),
    "a source of repairs": ("repair fraud/features --from s3://b", "--from", "s3://bucket/prefix"),
    "an option of a source of repairs": (
        "repair fraud/features --from s3://buck --from-option x=1",
        "--from-option",
        "options for s3://: x",
    ),
    "a destination": ("migrate store s3://b", "DST", "s3://bucket/prefix"),
    "an option of a destination": ("compare store dst --to-option k=v", "--to-option", "--to-option"),
    "a selection": ("migrate store dst --version a?", "--version", "'latest'"),
    "a name": ("migrate store dst --name a?", "--name", "letters"),
    "a scheduler": ("migrate store dst --dask host", "--dask", "tcp://host:8786"),
    "a scheduler of a collection": ("gc --dask host", "--dask", "tcp://host:8786"),
    "a place to copy to": ("migrate store dst --copy-pointers zip://x", "--copy-pointers", "bucket"),
}


@pytest.mark.full
@pytest.mark.parametrize(("line", "option", "allowed"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_blamed_on_its_option_and_told_what_is_allowed(ask, rides, line, option, allowed):
    if "--dask" in line:
        need("distributed")
    answer = ask(*line.split(" "))
    assert answer.code == 2, answer.err
    message, _, hint = answer.err.partition("hint:")
    place = "" if option in {"SRC", "DST"} else r"(?:Invalid value for )?"
    assert re.match(rf"error: {place}'?{option}\b", message), answer.err
    assert allowed in message + hint
    assert not INTERNALS.search(answer.err)
    assert "METAMLFLOW_" not in answer.err.replace("METAMLFLOW_STORAGE_URI.", "")


VARIABLES = {
    "options that are no JSON": ("METAMLFLOW_STORAGE_OPTIONS", "{secret", "ls --store s3://bucket/x"),
    "options that are a list": ("METAMLFLOW_STORAGE_OPTIONS", "[1]", "ls --store s3://bucket/x"),
    "options that nobody knows": ("METAMLFLOW_STORAGE_OPTIONS", '{"secret": 1, "k": 2}', "ls --store s3://bucket/x"),
    "options of data": ("METAMLFLOW_SOURCE_OPTIONS", "secret", "ls"),
    "options of data that are no options": ("METAMLFLOW_SOURCE_OPTIONS", '{"s3": 3}', "ls"),
    "a store without a bucket": ("METAMLFLOW_STORAGE_URI", "s3://", "ls"),
    "a store with too short a bucket": ("METAMLFLOW_STORAGE_URI", "s3://b/p", "ls"),
    "a store of another kind": ("METAMLFLOW_STORAGE_URI", "foo://x", "ls"),
    "an address of events": ("METAMLFLOW_OPENLINEAGE", "ftp://x", "ls"),
    "memory": ("METAMLFLOW_TRANSFER_MEMORY", "much", "register y rides.csv"),
}


@pytest.mark.parametrize(("variable", "value", "line"), VARIABLES.values(), ids=VARIABLES)
def test_a_wrong_variable_is_blamed_by_its_name(ask, rides, monkeypatch, variable, value, line):
    monkeypatch.setattr("metamlflow.backend.budget._budget", None)
    monkeypatch.setenv(variable, value)
    answer = ask(*line.split())
    assert answer.code == 2, answer.err
    assert answer.err.startswith(f"error: {variable}")
    assert not INTERNALS.search(answer.err)
    assert "{secret" not in answer.err


def test_an_option_beats_its_variable_also_in_the_blame(ask, rides, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_STORAGE_URI", "foo://from-the-environment")
    assert ask("ls", "--store", "s3://b").err.startswith("error: --store: 's3://b'")
    assert ask("ls", "--store", "store").code == 0


def test_the_size_of_a_cache_is_blamed_on_where_it_came_from(monkeypatch):
    monkeypatch.setenv("METAMLFLOW_CACHE_SIZE", "huge")
    with pytest.raises(InvalidInputError, match=r"^cache_size: 'big' is not a size"):
        MetaMLFlowClient("file://./store", cache_size="big")
    client = MetaMLFlowClient("file://./store")
    with pytest.raises(InvalidInputError, match=r"^METAMLFLOW_CACHE_SIZE: 'huge' is not a size"):
        _ = client._session.cache.max_bytes
    with pytest.raises(InvalidInputError, match=r"^cache_size: a size is a number of bytes"):
        MetaMLFlowClient("file://./store", cache_size=1.5)  # type: ignore[arg-type]


def test_an_argument_in_python_is_blamed_in_words_of_python(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store")
    client.register_artifact("a", b"1")
    with pytest.raises(InvalidInputError, match=r"^bytes_per_second is a number above 0, not '50MB'"):
        client.get_artifact("a").verify(bytes_per_second="50MB")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"^storage_options: .* got k"):
        MetaMLFlowClient(tmp_path / "store", storage_options={"k": 1})
    with pytest.raises(InvalidInputError, match=r"^storage_uri: 's3://b/p' names no bucket"):
        MetaMLFlowClient("s3://b/p")
    with pytest.raises(InvalidInputError, match=r"^unknown verification level 'foo': use 'full'"):
        client.verify_all(level="foo")  # type: ignore[arg-type]


def test_what_a_user_calls_like_an_argument_stays_as_it_is(ask, rides):
    answer = ask("show", "bikes/rides", "--store", "storage_options")
    assert "storage_options" in answer.err
    assert "--option" not in answer.err
    assert "'path='" in ask("get", "bikes/rides", "--path", "path=").err


GOOD = {
    "a minute": (parse_duration, "1m"),
    "ten years": (parse_duration, "3650d"),
    "all": (lambda text, option: parse_whole(text, option, -1), "-1"),
    "half an object": (parse_rate, "0.5"),
    "a fraction of a unit": (parse_byte_rate, "1.5 MiB"),
}


@pytest.mark.parametrize(("parse", "text"), GOOD.values(), ids=GOOD)
def test_the_values_at_the_edge_are_taken(parse, text):
    assert parse(text, "--option") is not None


# --- examples ---------------------------------------------------------------------------------------------------------

PLACE = re.compile(r"(?<![\w'/.])(?:s3|gs)://[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_./-]*)?")
PAGES = Path(__file__).parents[2]


def every_help(ask) -> list[str]:
    names = re.findall(r"^  (\w+)  ", ask("--help").out, re.MULTILINE)
    below = re.findall(r"^  (\w+)  ", ask("pointer", "--help").out, re.MULTILINE)
    assert {"register", "migrate", "policy"} <= set(names)
    return [ask(name, "--help").out for name in names] + [ask("pointer", name, "--help").out for name in below]


def test_every_place_that_a_help_or_a_page_gives_as_an_example_can_be_opened(ask):
    texts = [*every_help(ask), *(page.read_text("utf-8") for page in (PAGES / "README.md", *PAGES.glob("docs/*.md")))]
    places = {place for text in texts for place in PLACE.findall(" ".join(text.split()))}
    assert "s3://bucket/prefix" in places
    for place in places:
        MetaMLFlowClient(place, storage_options={}, source_options={})


def test_every_value_that_a_help_gives_as_an_example_can_be_parsed(ask, monkeypatch):
    text = " ".join(" ".join(every_help(ask)).split())
    (durations,) = set(re.findall(r"such as (36h, 7d or 2w)", text))
    for duration in re.findall(r"\w+(?=,| or|$)", durations):
        if duration != "or":
            parse_duration(duration, "--grace")
    (size,) = set(re.findall(r"at most this much per second, such as (\w+)\.", text))
    assert parse_byte_rate(size, "--bytes-per-second") == 50_000_000
    assert os.fspath("tcp://host:8786") in text


SLIPS = {
    "an option before the command": ("--store x ls", "Options stand behind the command: metamlflow ls --store"),
    "an option before a command of two words": ("--meta a=1 pointer register", "metamlflow pointer register --meta"),
    "an option that nothing has": ("--foo", "See 'metamlflow --help'."),
    "an option without its value": ("register a b --type", "See 'metamlflow register --help'."),
    "an option without its value, two words": (
        "pointer register a --type",
        "See 'metamlflow pointer register --help'.",
    ),
    "an unknown command": ("gte a", "Did you mean 'get'"),
}


@pytest.mark.full
@pytest.mark.parametrize(("line", "told"), SLIPS.values(), ids=SLIPS)
def test_a_slip_of_the_order_is_told_with_the_help_that_helps(line, told, tmp_path):
    answer = call(*line.split(), cwd=tmp_path)
    assert answer.returncode == 2
    assert told in answer.stderr.decode()


@pytest.mark.parametrize("line", ["", "pointer"])
def test_a_call_without_a_command_is_answered_with_the_help_alone(line, tmp_path):
    answer = call(*line.split(), cwd=tmp_path)
    assert (answer.returncode, answer.stdout) == (2, b"")
    assert answer.stderr.decode().startswith("Usage: metamlflow")
    assert b"error:" not in answer.stderr
