"""What a user may ask for: gcsfs's own options, none of them dropped."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys

import pytest
from fsspec.config import conf

from metamlflow.errors import InvalidInputError
from metamlflow_gcs import open_backend
from metamlflow_gcs.external import open_external
from metamlflow_gcs.options import KNOWN

pytestmark = pytest.mark.emulator

REFUSED = {
    "unknown": ({"encryption": "yes"}, "encryption"),
    "of-s3fs": ({"anon": True}, "{'token': 'anon'}"),
    "asynchronous": ({"asynchronous": True}, "asynchronous"),
    "loop": ({"loop": object()}, "loop"),
    "misspelt": ({"kms_key_nam": "k"}, "did you mean 'kms_key_name'"),
    "an-empty-key": ({"kms_key_name": ""}, "kms_key_name is empty"),
    "a-session's-option": ({"session_kwargs": {"trust_evn": True}}, "did you mean 'trust_env'"),
    "a-session-alone": ({"session_kwargs": "trust_env"}, "not a mapping"),
    "an-endpoint-without-scheme": ({"endpoint_url": "127.0.0.1:4443"}, "is no URL"),
    "seconds-in-words": ({"requests_timeout": "5"}, "requests_timeout"),
    "a-text-that-says-no": ({"version_aware": "false"}, "would count as true"),
}


@pytest.mark.parametrize(("options", "named"), REFUSED.values(), ids=list(REFUSED))
def test_an_option_that_would_be_ignored_is_refused(options, named):
    with pytest.raises(InvalidInputError) as caught:
        open_backend("gs://bucket/prefix", options)
    assert named in str(caught.value)


@pytest.mark.parametrize(("options", "named"), REFUSED.values(), ids=list(REFUSED))
def test_it_is_refused_as_well_in_fsspecs_configuration(monkeypatch, options, named):
    monkeypatch.setitem(conf, "gcs", options)
    for open_it in (lambda: open_backend("gs://bucket/prefix", {}), lambda: open_external("gs://bucket", {})):
        with pytest.raises(InvalidInputError) as caught:
            open_it()
        assert named in str(caught.value)


def test_a_key_of_fsspecs_configuration_encrypts_what_is_written(root, fault_proxy, monkeypatch):
    """gcsfs drops it, as it does any option that it does not know: the library's own option must not go with it."""
    proxy = fault_proxy(root.server)
    monkeypatch.setitem(conf, "gs", {"kms_key_name": "projects/p/key", "endpoint_url": proxy.url})
    backend = open_backend(root.url, {"token": "anon"})
    backend.create("a", b"1")
    assert "kmsKeyName=projects" in proxy.log[-1].target
    assert pickle.loads(pickle.dumps(backend)).__getstate__()[2] == {"token": "anon"}


@pytest.mark.parametrize("url", ["gs://", "gs:///prefix", "s3://bucket", "gs://user:password@bucket/x", "gs:bucket"])
def test_a_url_without_a_bucket_is_refused(url):
    with pytest.raises(InvalidInputError) as caught:
        open_backend(url, {})
    assert "password" not in str(caught.value)


def test_every_option_of_the_installed_gcsfs_is_known():
    from gcsfs.core import GCSFileSystem
    from gcsfs.extended_gcsfs import ExtendedGcsFileSystem

    kinds = (GCSFileSystem, ExtendedGcsFileSystem)
    named = {name for kind in kinds for name in inspect.signature(kind.__init__).parameters}
    assert named - KNOWN == {"self", "args", "kwargs", "asynchronous", "loop"}


@pytest.mark.parametrize("url", ["gs://bucket/some/prefix", "gcs://bucket/some/prefix/", "gs://bucket//some/prefix"])
def test_both_schemes_name_one_root(url):
    backend = open_backend(url, {"token": "anon"})
    assert backend.url == "gs://bucket/some/prefix"
    assert backend.url_of("a/b.json") == "gs://bucket/some/prefix/a/b.json"
    assert backend.max_key_bytes == 1024 - len("some/prefix/")


def test_a_bucket_alone_is_a_root(root):
    bucket = root.server.new_bucket()
    backend = open_backend(f"gs://{bucket}", root.options)
    backend.create("a", b"1")
    assert (backend.url, root.server.raw().get(bucket, "a")) == (f"gs://{bucket}", b"1")


def test_the_project_to_bill_and_the_key_to_encrypt_with_go_along(root, fault_proxy):
    proxy = fault_proxy(root.server)
    options = {
        **root.server.through(proxy.url).storage_options,
        "requester_pays": "my-project",
        "kms_key_name": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
    }
    backend = pickle.loads(pickle.dumps(open_backend(root.url, options)))
    backend.create("a", b"1")
    backend.read("a")
    list(backend.list_objects())
    assert [request.target for request in proxy.log if "userProject=my-project" not in request.target] == []
    keys = "kmsKeyName=projects%2Fp%2Flocations%2Fl%2FkeyRings%2Fr%2FcryptoKeys%2Fk"
    assert [keys in request.target for request in proxy.log] == [True, False, False]


def test_opening_imports_no_gcsfs_and_touches_no_network():
    code = (
        "import os, sys\n"
        "sys.addaudithook(lambda event, _: os._exit(9) if event.startswith('socket.') else None)\n"
        "from metamlflow_gcs import open_backend\n"
        "open_backend('gs://bucket/prefix', {'token': 'anything'})\n"
        "print({'gcsfs', 'aiohttp', 'google.auth', 'requests'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
