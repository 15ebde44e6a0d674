"""The content digest: the same for the same files, whatever they are called in the store."""

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from metamlflow.model.manifests import ContentDigest, EmptyFolder, Entry, content_digest

HELLO = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
TABLE = "492d5ea496056f1a6a6592241032fab764c321596317930b4fa0e1e8bc3b7470"
ITEMS = (
    Entry("README", 6, HELLO, "353dd8be", f"blobs/sha256/58/{HELLO}"),
    EmptyFolder("data/empty"),
    Entry("data/x.csv", 8, TABLE, "499d87c5", f"blobs/sha256/49/{TABLE}.csv"),
)


def test_it_is_the_hash_that_other_tools_get_from_the_same_lines():
    # printf '["README",6,"5891…"]\n["data/empty"]\n["data/x.csv",8,"492d…"]\n' | sha256sum
    assert content_digest(ITEMS) == "sha256:b3f172a0557dbf60d9cef6c313619df5e0acc4cb434907e40c7601afc09cc8fd"


def test_of_nothing_it_is_the_hash_of_nothing():
    assert content_digest(()) == f"sha256:{hashlib.sha256().hexdigest()}" == str(ContentDigest())


def test_keys_and_what_else_is_known_of_a_file_are_no_part_of_it():
    first, folder, last = ITEMS
    renamed = Entry("README", 6, HELLO, "00000000", f"blobs/sha256/58/{HELLO}-{'0' * 32}", executable=True)
    assert content_digest((renamed, folder, last)) == content_digest(ITEMS)
    assert content_digest((first, EmptyFolder("data/empty", {"later": 1}), last)) == content_digest(ITEMS)


def test_path_size_content_and_kind_are_each_a_part_of_it():
    first, folder, last = ITEMS
    others = [
        (Entry("README.md", 6, HELLO, "", ""), folder, last),
        (Entry("README", 7, HELLO, "", ""), folder, last),
        (Entry("README", 6, TABLE, "", ""), folder, last),
        (first, last),
        (first, Entry("data/empty", 0, hashlib.sha256().hexdigest(), "", ""), last),
        (folder, first, last),
    ]
    digests = {content_digest(items) for items in others}
    assert len(digests) == len(others)
    assert content_digest(ITEMS) not in digests


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**60))))
def test_no_path_can_imitate_the_lines_of_others(given_items):
    items = [Entry(path, size, HELLO, "", "") for path, size in given_items]
    lines = "".join(
        json.dumps([i.path, i.size, i.sha256], ensure_ascii=False, separators=(",", ":")) + "\n" for i in items
    )
    assert content_digest(items) == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    assert [json.loads(line)[0] for line in lines.split("\n")[:-1]] == [item.path for item in items]
