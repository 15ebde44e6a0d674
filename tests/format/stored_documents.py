"""The hand-written documents of ``data/``, for tests that read them or damage them first."""

import json
from pathlib import Path
from typing import Any

from metamlflow.format.manifests import decode_manifest
from metamlflow.model.manifests import Manifest
from metamlflow.model.names import ArtifactName

DATA = Path(__file__).parent / "data"
INLINE = (DATA / "inline_manifest.json").read_bytes()
SHARDED = (DATA / "sharded_manifest.json").read_bytes()
NAME = ArtifactName("Fraud/features")
VERSION = 3
KEY = "artifacts/!fraud/features/_versions/9999999996_v3.json"


def document() -> dict[str, Any]:
    """Return the inline manifest as a fresh dict, to be damaged."""
    return json.loads(INLINE)


def as_bytes(value: Any) -> bytes:
    """Return JSON as Python writes it, NaN, lone surrogates (escaped) and all."""
    return json.dumps(value).encode()


def read(data: bytes) -> Manifest:
    """Read ``data`` as the manifest of version 3 of Fraud/features."""
    return decode_manifest(data, KEY, NAME, VERSION)
