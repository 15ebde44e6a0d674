"""The life of what is stored: what is kept, given up, freed and erased. SPEC.md, sections 12 to 14."""
