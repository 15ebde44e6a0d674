"""The listing of everything below a prefix."""

from metamlflow.store.catalog.ordered import listed_in_order

__all__ = ["listed_in_order"]
