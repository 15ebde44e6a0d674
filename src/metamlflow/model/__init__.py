"""Pure, frozen values: names, paths, entries, manifests, metadata. Knows no storage and no file format."""
