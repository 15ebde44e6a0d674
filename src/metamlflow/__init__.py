"""Versioned, immutable, verified machine-learning artifacts in nothing but an object store."""

from __future__ import annotations

__version__ = "0.1.0.dev0"
