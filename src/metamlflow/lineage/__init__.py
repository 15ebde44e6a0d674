"""Lineage as a graph: artifacts, the runs between them, and the external places that data came from."""

from metamlflow.lineage.elements import Link, Node
from metamlflow.lineage.graph import Lineage

__all__ = ["Lineage", "Link", "Node"]
