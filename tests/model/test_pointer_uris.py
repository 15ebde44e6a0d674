"""URIs of what is pointed to: what is refused and why, and that letters of names are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metamlflow.model.uris import MAX_URI_BYTES, new_uri_problem, secret_problem, split_uri, uri_problem

SCHEMES = st.from_regex(r"[a-z][a-z0-9+.-]{0,8}", fullmatch=True)
AUTHORITIES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), max_size=10)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)

LEGAL = [
    "s3://lake/a",
    "s3://lake/",
    "s3://lake",
    "s3://lake/a?b#c%20d",
    "s3://lake/year=2026/key=7/part.csv",
    "s3://lake/x?key=1",
    "s3://lake/x?token=1&sig=2",
    "s3://lake/user@host",
    "s3://lake//a//b",
    "s3://lake/a::b",
    "s3://lake/größe 🎉",
    "s3://lake/line\nbreak",
    "gs://b/signature=x",
    "gs://b/a:b@c",
    "file:///data/x",
    "file:///data/a@b:c",
    "file:///a:b/c@d",
    "file:///?token=x",
    "memory://x/*?[a]",
    "abfs+x.y-z://c/a",
    "https://host:8080/a%20b?page=2#top",
    "https://host/token=x/a",
    "https://host/a?monkey=1&tokens=2&sigma=3",
    "https://host/a?x=b@c",
    "https://host/a@b",
    f"s3://lake/{'x' * (MAX_URI_BYTES - 10)}",
]


@pytest.mark.parametrize("uri", LEGAL)
def test_a_legal_uri_has_no_problem(uri):
    assert uri_problem(uri) is None
    assert new_uri_problem(uri) is None


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        (None, "a URI is a string, not NoneType"),
        (b"s3://lake/a", "a URI is a string, not bytes"),
        (7, "a URI is a string, not int"),
        ("", "it has no scheme in lower case, such as s3://"),
        ("/data/x", "it has no scheme in lower case, such as s3://"),
        ("s3:/lake/x", "it has no scheme in lower case, such as s3://"),
        ("S3://lake/x", "it has no scheme in lower case, such as s3://"),
        ("://lake/x", "it has no scheme in lower case, such as s3://"),
        ("3s://lake/x", "it has no scheme in lower case, such as s3://"),
        ("s3 ://lake/x", "it has no scheme in lower case, such as s3://"),
        ("s3\n://lake/x", "it has no scheme in lower case, such as s3://"),
        ("s3://", "it names nothing"),
        ("file:///", "it names nothing"),
        ("s3:////", "it names nothing"),
        ("s3://lake/\ud800", "it is no valid UTF-8"),
        ("s3://lake/a\0b", "it holds a NUL character"),
        (f"s3://lake/{'x' * (MAX_URI_BYTES - 9)}", "it takes 8,193 bytes, more than 8,192"),
        (f"s3://lake/{'ö' * MAX_URI_BYTES}", "it takes 16,394 bytes, more than 8,192"),
        ("zip://x::s3://lake/a.zip", "it chains file systems with '::'"),
        ("s3://lake/a::file:///etc/passwd", "it chains file systems with '::'"),
        ("simplecache::s3://lake/a", "it has no scheme in lower case, such as s3://"),
    ],
)
def test_an_illegal_uri_is_told_why(uri, problem):
    assert uri_problem(uri) == problem


USER_INFO = [
    "s3://key:HUSH@lake/x",
    "s3://HUSH@lake/x",
    "s3://key:HU/SH@lake/x",
    "s3://key:HUSH/a/b@lake/x",
    "gs://HUSH@b",
    "https://user:HUSH@host/x",
    "https://HUSH@host",
    "https://user:HUSH@host?x=1",
    "ftp://:HUSH@host/x",
]
SIGNED = {
    "https://host/x?token=HUSH": "token",
    "https://host/x?TOKEN=HUSH": "token",
    "https://host/x?a=1&sig=HUSH": "sig",
    "https://host/x?a=1;sig=HUSH": "sig",
    "https://host?key=HUSH": "key",
    "https://host/x?api_key=HUSH&b=2": "api_key",
    "https://host/x?api-key=HUSH": "api-key",
    "http://host/x?access_token=HUSH": "access_token",
    "http://host/x?password=HUSH": "password",
    "http://host/x?secret=HUSH": "secret",
    "https://b.s3.amazonaws.com/x?X-Amz-Credential=HUSH": "x-amz-credential",
    "https://b.s3.amazonaws.com/x?AWSAccessKeyId=HUSH": "awsaccesskeyid",
    "s3://lake/x?X-Amz-Signature=HUSH": "x-amz-signature",
    "s3://lake/x?a=1&x-amz-security-token=HUSH": "x-amz-security-token",
    "s3://lake/x?versionId=1&Signature=HUSH": "signature",
    "gs://b/x?X-Goog-Signature=HUSH": "x-goog-signature",
    "gs://b/x?GoogleAccessId=HUSH": "googleaccessid",
}


@pytest.mark.parametrize("uri", USER_INFO)
def test_user_info_is_refused_and_not_shown(uri):
    assert (
        uri_problem(uri) == new_uri_problem(uri) == secret_problem(uri) == "it carries user info (the part before '@')"
    )


@pytest.mark.parametrize(("uri", "name"), SIGNED.items())
def test_a_signed_query_is_refused_and_only_its_name_is_shown(uri, name):
    assert new_uri_problem(uri) == secret_problem(uri) == f"it carries a signed query string (the parameter {name!r})"


BY_PROVIDERS = [  # as SPEC.md lists them
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "X-Goog-Signature",
    "X-Goog-Credential",
    "AWSAccessKeyId",
    "GoogleAccessId",
    "Signature",
]


@pytest.mark.parametrize("name", BY_PROVIDERS)
@pytest.mark.parametrize(
    "start", ["https://h/a?", "http://h/a?b=1&", "s3://l/a;", "gs://l/a?", "file:///a?", "az://c/a?"]
)
def test_a_reader_refuses_the_parameters_by_which_providers_sign_in_any_case(start, name):
    for spelled in (name, name.lower(), name.upper()):
        assert "signed query string" in uri_problem(f"{start}{spelled}=HUSH")
    assert uri_problem(f"{start}x{name}=1") is None
    assert uri_problem(f"{start}{name}x=1") is None


@pytest.mark.parametrize("scheme", ["https", "az", "abfs", "s3", "gs", "file"])
def test_a_shared_access_signature_is_one_where_nothing_else_may_be_called_so(scheme):
    problem = uri_problem(f"{scheme}://h/a?sig=HUSH")
    assert (problem is None) == (scheme in {"s3", "gs", "file"})


GUESSED = [uri for uri, name in SIGNED.items() if name not in {"sig", *map(str.lower, BY_PROVIDERS)}]


@pytest.mark.parametrize(
    "uri", [*GUESSED, "https://h/a?key=part-1", "https://h/a?code=7#auth=x", "https://h/?\u017figNature=1"]
)
def test_what_only_sounds_like_a_secret_makes_no_version_unreadable(uri):
    assert uri_problem(uri) is None


@given(st.text())
def test_whatever_a_reader_refuses_is_not_registered(text):
    for uri in (text, f"s3://lake/{text}", f"https://host/{text}", f"az://c/{text}"):
        assert uri_problem(uri) is None or new_uri_problem(uri) == uri_problem(uri)


@given(SCHEMES, AUTHORITIES, NAMES)
def test_root_and_name_make_up_the_uri(scheme, authority, name):
    uri = f"{scheme}://{authority}/{name}"
    assert split_uri(uri) == (f"{scheme}://{authority}", name)
    root, rest = split_uri(uri)
    assert f"{root}/{rest}" == uri


@given(st.text())
def test_any_text_is_refused_or_can_be_stored(text):
    for uri in (text, f"s3://lake/{text}", f"https://host/{text}"):
        if uri_problem(uri) is None:
            assert "://" in uri
            assert "\0" not in uri
            assert len(uri.encode()) <= MAX_URI_BYTES


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40).filter(
        lambda t: "://" not in t
    )
)
def test_a_name_of_a_file_is_legal_whatever_it_holds_but_a_signature(name):
    if "=" not in name:
        assert uri_problem(f"file:///data/{name}") is None


@given(st.sampled_from(["token", "sig", "X-Amz-Signature"]), st.text("abcXYZ09", min_size=12, max_size=20))
def test_no_part_of_a_secret_is_in_the_refusal(parameter, secret):
    problem = new_uri_problem(f"https://host/x?{parameter}={secret}")
    assert problem
    assert secret not in problem
