"""What is hidden of a text is what stands where URLs carry secrets; all else can still be read."""

from __future__ import annotations

import pickle

import pytest

from metamlflow.errors import InvalidInputError, SourceNotFoundError, redact
from metamlflow.redaction import scrubbed, secrets_in, without_secrets

SECRET = [
    "s3://key:HUSH@b/x",
    "S3://KEY:HUSH@b/x",
    "s3://key:12/HUSH@b/x",
    "s3://key:HU/SH/HUSH@b/x",
    "https://user:HUSH@host/x",
    "https://HUSH@host/x",
    "https://user:pa#HUSH@host/x",
    "https://user:pa?HUSH@host/x",
    "https://user:p%40HUSH@host/x",
    "zip::https://user:HUSH@host/x.zip",
    "metamlflow://features@2::s3://key:HUSH@b/x",
    "metamlflow://features::s3://key:HUSH@b/x",
    "metamlflow://user:HUSH@2/x",
    "other+metamlflow+http://HUSH@host/x",
    "zip://inner.csv::https://user:HUSH@host/x.zip",
    "simplecache::s3://key:HUSH@b/x",
    "https://host/x?X-Amz-Signature=HUSH",
    "https://host/x?X%2DAmz%2DSignature=HUSH&a=1",
    "https://host/x?a=1&X-Goog-Signature=HUSH",
    "https://a.blob.core.windows.net/c/x?sv=1&sig=HUSH%3D",
    "abfs://c@a.dfs.core.windows.net/x?sig=HUSH",
    "https://host/x?token=HUSH",
    "https://host/x#access_token=HUSH",
    "https://proxy/?url=https%3A%2F%2Fuser%3AHUSH%40host%2Fx",
]
HARMLESS = [
    "https://host:8080/a/b@c.csv",
    "metamlflow://features@2/a.csv",
    "metamlflow://features@2::s3://b/x",
    "metamlflow://fraud/features@production",
    "https://host/x?page=2&monkey=1",
    "s3://bucket/a@b/c:d@e",
    "file:///a?token=1",
    "expected key=value; mail me@example.org",
    "https://host:80 and me@example.org",
    "http://[::1]:9000/x@y",
]


@pytest.mark.parametrize("around", ["{}", "cannot read {}: gone", "GET '{}' failed\nsecond line", "({})", '"{}"'])
@pytest.mark.parametrize("uri", SECRET)
def test_a_secret_of_a_url_is_hidden_wherever_the_url_stands(uri, around):
    text = around.format(uri)
    hidden = without_secrets(text)
    assert "HUSH" not in hidden
    assert without_secrets(hidden) == hidden
    assert hidden.count("\n") == text.count("\n")
    error = InvalidInputError(text, hint=text, source=uri, problems=(uri,))
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert "HUSH" not in f"{one} {one!r} {one.args} {vars(one)}"


@pytest.mark.parametrize("uri", SECRET)
def test_redact_hides_it_too_and_keeps_the_place(uri):
    hidden = redact(uri)
    assert "HUSH" not in hidden
    assert hidden.lower().startswith(uri.partition("://")[0].lower())


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text):
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("test", "no version features@latest", "no version features@latest"),
        ("test", "the word test is hidden", "the word … is hidden"),
        ("pw", "a spwan of pw", "a spwan of pw"),
        ("hunter2-long", "xhunter2-longx", "x…x"),
    ],
)
def test_a_short_secret_is_hidden_as_a_word_alone(secret, text, shown):
    assert scrubbed(text, [secret]) == shown


def test_the_secrets_of_a_url_are_known_as_written_and_as_meant():
    found = secrets_in("https://user:p%40ss%2Fword@host/x?a=1&sig=ab%2Bcd%3D%3D")
    assert {"p%40ss%2Fword", "p@ss/word", "ab%2Bcd%3D%3D", "ab+cd=="} <= set(found)
    assert "1" not in found
    assert secrets_in("s3://bucket/a?b=c") == secrets_in("https://host:80/x@y") == ()


# --- lines and terminals ----------------------------------------------------------------------------------------------

FORGED = "s3://b/x\nerror: all is lost\r\x1b[31mred\x9b\u2028\u202e"


def test_no_value_makes_a_line_of_its_own_or_drives_a_terminal():
    error = SourceNotFoundError(f"there is nothing at {FORGED}\n  second line", hint=f"see {FORGED}", source=FORGED)
    for text in (str(error), error.message, error.hint, redact(FORGED)):
        assert "\nerror" not in text
        assert all(char.isprintable() or char == "\n" for char in text)
    assert error.message.splitlines()[1:] == ["  second line"]
    assert error.source == FORGED, "facts are as they are"
