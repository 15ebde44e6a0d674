"""Format 1: keys, and documents between bytes and values. SPEC.md is the normative text."""
