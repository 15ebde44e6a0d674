"""Hypothesis strategies for whole manifests: any legal path, name and metadata, and fields of later versions."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from metamlflow.format.layout import blob_key
from metamlflow.model.manifests import EmptyFolder, Entry, Input, Manifest, content_digest
from metamlflow.model.metadata import encode_mapping
from metamlflow.model.names import MAX_VERSION, ArtifactName, name_problem
from metamlflow.model.paths import OrderCheck, path_problem

SEGMENT = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True).filter(lambda s: name_problem(s) is None)
NAMES = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join).map(ArtifactName.parse)
HEX32 = st.uuids().map(lambda value: value.hex)
HEX64 = st.binary(min_size=32, max_size=32).map(bytes.hex)
DIGESTS = HEX64.map("sha256:{}".format)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PATHS = (
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1), min_size=1)
    .map("/".join)
    .filter(lambda path: path_problem(path) is None)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
STORED_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
# No field of format 1 begins so: these stand for the fields of later versions.
LATER = st.dictionaries(TEXT.map("x-{}".format), STORED_JSON, max_size=3)


@st.composite
def items(draw: st.DrawFn) -> tuple[Entry | EmptyFolder, ...]:
    """Items in order, with no path inside another."""
    order = OrderCheck()
    chosen = []
    for path in sorted(draw(st.sets(PATHS, max_size=6))):
        if order.problem(path) is not None:
            continue
        extra = draw(LATER) or None
        if draw(st.booleans()) and draw(st.booleans()):
            chosen.append(EmptyFolder(path, extra))
            continue
        sha256 = draw(HEX64)
        key = blob_key(sha256, draw(st.sampled_from(["", ".csv", ".csv.gz"])), draw(st.none() | HEX32))
        crc32c = draw(st.binary(min_size=4, max_size=4)).hex()
        chosen.append(Entry(path, draw(st.integers(0, 2**50)), sha256, crc32c, key, draw(st.booleans()), extra))
    return tuple(chosen)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """A manifest whose sums and digest are right."""
    content = draw(items())
    files = [item for item in content if isinstance(item, Entry)]
    whole = len(files) == len(content) == 1
    inputs = st.builds(Input, NAMES, st.integers(1, MAX_VERSION), DIGESTS, st.none() | TEXT)
    version = draw(st.just(1) | st.integers(1, MAX_VERSION))
    moments = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (given a zone)
    return Manifest(
        record_id=draw(HEX32),
        artifact_id=str(draw(st.uuids())),
        name=draw(NAMES),
        version=version,
        artifact_type=draw(st.sampled_from(["file", "dataset", "a/b-c.d_e"])),
        kind="file" if whole and draw(st.booleans()) else "folder",
        created_at=draw(moments),
        created_by=draw(TEXT),
        digest=content_digest(content),
        size=sum(file.size for file in files),
        files=len(files),
        folders=len(content) - len(files),
        items=content,
        metadata=encode_mapping(draw(st.dictionaries(TEXT, JSON, max_size=3))),
        schema=draw(st.none() | st.dictionaries(TEXT, STORED_JSON, max_size=2)),
        inputs=tuple(draw(st.lists(inputs, max_size=2))),
        run=draw(st.none() | HEX32),
        code=draw(st.none() | st.dictionaries(TEXT, STORED_JSON, max_size=2)),
        previous=draw(DIGESTS) if version > 1 else None,
        extra=draw(LATER),
    )
