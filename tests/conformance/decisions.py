"""What the second reader decides on a document, and what the product does."""

from __future__ import annotations

from typing import Any

import product
from reader import records
from reader.items import refuse_disorder
from reader.json_text import Refused
from reader.keys import record_of


def refusal(key: str, data: bytes, shard: dict[str, Any] | None = None) -> str | None:
    """Why the second reader refuses a document; None if it takes it."""
    try:
        if shard is None:
            at = record_of(key)
            records.READERS[at["kind"]](data, at)
        else:
            refuse_disorder([item["path"] for item in records.shard_items(data, shard)])
    except Refused as error:
        return str(error)
    return None


def product_takes(key: str, data: bytes, shard: dict[str, Any] | None = None) -> bool:
    """Whether the product takes it."""
    return product.accepts(data, key, record_of(key)) if shard is None else product.accepts_shard(data, shard)
