"""The life of what is stored: whether it is sound, what is kept, given up, freed and erased. SPEC.md, 12 to 14."""
