"""What is called like a secret in a web address is refused, however it is spelled; what only looks so is not."""

from __future__ import annotations

import pytest

from metamlflow.model.uris import new_uri_problem

SECRET = [
    "https://h/x?private_token=a",
    "https://h/x?access-token=a",
    "https://h/x?accessToken=a",
    "https://h/x?a=1&refresh_token=a",
    "https://h/x?client_secret=a",
    "https://h/x?subscription-key=a",
    "https://h/x?code=a",
    "https://h/x?X%2DAmz%2DSignature=a",
    "https://h/x?%73ig=a",
    "https://h/x#access_token=a",
    "https://h/x?Policy=a&Key-Pair-Id=b",
    "az://container/blob?sv=2024&sp=r&sig=a",
    "s3://b/k?X-Amz-Signature=a",
]
HARMLESS = [
    "https://h/x?monkey=1&tokens=2&sigma=3&author=4&keyword=5",
    "https://h/x?page=2",
    "s3://b/k?sig=1",
    "s3://b/k?token=1&key=2",
    "file:///a?token=1",
]


@pytest.mark.parametrize("uri", SECRET)
def test_a_secret_is_refused(uri):
    assert "signed query string" in new_uri_problem(uri)


@pytest.mark.parametrize("uri", HARMLESS)
def test_what_is_none_is_taken(uri):
    assert new_uri_problem(uri) is None
