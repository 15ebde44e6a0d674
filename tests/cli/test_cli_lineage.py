"""Lineage, history and signatures on the command line."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


@pytest.fixture
def chain(work, ask):
    """raw → cleaned (as data) → model."""
    (work / "x.txt").write_text("x\n")
    for arguments in (("raw",), ("cleaned", "--input", "data=raw@1"), ("model", "--input", "cleaned")):
        assert ask("register", arguments[0], "x.txt", *arguments[1:]).code == 0
    return work


@pytest.fixture
def keys(work):
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (work / "private.pem").write_bytes(pem)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (work / "public.pem").write_bytes(public)


def test_lineage_is_a_tree(chain, ask):
    answer = ask("lineage", "model")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "model@1  (file)\nmade from\n└─ cleaned@1  (file)\n   └─ raw@1  (file)  as data\n"
    assert "model@1" not in ask("lineage", "raw", "--direction", "downstream", "--depth", "1").out


def test_lineage_is_json_mermaid_and_a_page(chain, ask):
    graph = json.loads(ask("lineage", "model", "--json").out)
    assert (graph["format"], graph["kind"], graph["start"], graph["complete"]) == (1, "lineage", "model@1", True)
    assert {"source": "raw@1", "target": "cleaned@1", "role": "data"} in graph["links"]
    assert ask("lineage", "model", "--mermaid").out.startswith("flowchart LR\n")
    answer = ask("lineage", "model", "--html", "page.html")
    assert (answer.code, answer.out) == (0, "")
    assert "cleaned@1" in (chain / "page.html").read_text("utf-8")


def test_inputs_have_all_a_role_or_none(chain, ask):
    answer = ask("register", "y", "x.txt", "--input", "data=raw@1", "--input", "cleaned@1")
    assert answer.code == 2
    assert ask("register", "y", "x.txt", "--input", "no-such@1").code == 3


def test_history_lists_versions_and_fails_where_one_was_altered(chain, ask):
    for _ in range(2):
        ask("register", "raw", "x.txt")
    answer = ask("history", "raw")
    assert (answer.code, answer.err) == (0, "")
    rows = [line.split("\t") for line in answer.out.splitlines()]
    assert [row[:2] for row in rows] == [["1", "available"], ["2", "available"], ["3", "available"]]
    path = chain / "store/artifacts/raw/_versions/9999999997_v2.json"
    altered = path.read_bytes().replace(b'"created_by":"ada"', b'"created_by":"eve"')
    path.unlink()
    path.write_bytes(altered)
    answer = ask("history", "raw", "--json")
    assert answer.code == 1
    document = json.loads(answer.out)
    assert (document["ok"], len(document["versions"]), len(document["problems"])) == (False, 3, 1)
    assert "raw@2" in document["problems"][0]["message"]


def test_verify_walks_the_lineage_when_asked(chain, ask):
    path = chain / "store/artifacts/raw/_versions/9999999998_v1.json"
    altered = path.read_bytes().replace(b'"created_by":"ada"', b'"created_by":"eve"')
    path.unlink()
    path.write_bytes(altered)
    assert ask("verify", "model").code == 0
    answer = ask("verify", "model", "--lineage")
    assert answer.code == 1
    assert "artifacts/raw/_versions/9999999998_v1.json" in answer.out


def test_a_signature_is_made_and_required(chain, ask, keys):
    assert ask("get", "model", "out", "--require-signature", "public.pem").code == 1
    assert not (chain / "out").exists()
    signed = ask("sign", "model", "--key", "private.pem")
    assert (signed.code, len(signed.out.strip())) == (0, 64)
    assert json.loads(ask("sign", "model", "--key", "private.pem", "--json").out)["key_id"] == signed.out.strip()
    assert ask("get", "model", "out", "--require-signature", "public.pem").code == 0
    assert ask("sign", "model", "--key", "public.pem").code == 2
