"""What docs/conformance/ is made by. One module for each kind of mutation; `documents.py` gathers them."""
