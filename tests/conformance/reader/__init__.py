"""A second reader of stores, written from docs/SPEC.md alone: it imports the standard library and nothing else.

It exists to be compared with the product. Where the two differ, one of them or the page has a bug.
"""
